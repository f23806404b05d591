//! The one way to files: paths confined to the repository, reads capped, writes atomic.
