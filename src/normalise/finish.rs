//! Finish reasons of every provider, in one set of words.

/// The canonical word: `stop`, `length`, `content_filter`, `tool_call`, `refusal`, `error`, or the raw word in lower case.
pub fn canonical(raw: &str) -> String {
    let word = raw.trim().to_lowercase().replace('-', "_");
    // Python's way to write a member of an enumeration.
    let word = word.strip_prefix("finishreason.").unwrap_or(&word);
    match word {
        "stop" | "end_turn" | "stop_sequence" | "eos" | "complete" | "completed" => "stop",
        "length" | "max_tokens" | "max_output_tokens" | "model_length" | "model_context_window_exceeded" => "length",
        "content_filter" | "content_filtered" | "safety" | "blocked" => "content_filter",
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => "tool_call",
        "refusal" => "refusal",
        "error" | "failed" => "error",
        _ => word,
    }
    .to_string()
}
