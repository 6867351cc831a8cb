//! Counts in messages.

/// So many of a thing whose plural ends in s.
pub(super) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_of_a_thing_is_told_in_the_singular() {
        let told = [0, 1, 2].map(|count| super::counted(count, "step"));
        assert_eq!(told, ["0 steps", "1 step", "2 steps"]);
    }
}
