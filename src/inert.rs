//! Text made inert: recorded text shown in a sink never acts there.
