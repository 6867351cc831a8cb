//! A learning rate that changes at given steps, as A1111 writes it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Rates and the step that each holds up to: `0.005:100, 1e-3:1000, 1e-5` is 0.005 for the first 100
/// steps, 1e-3 for the 900 after them, and 1e-5 to the end.
///
/// # Example
/// ```
/// use dvar::optim::LrPieces;
///
/// let pieces: LrPieces = "0.005:100, 1e-3".parse()?;
/// assert_eq!([pieces.at(0), pieces.at(99), pieces.at(100)], [0.005, 0.005, 1e-3]);
/// # Ok::<(), dvar::optim::LrPiecesError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LrPieces(Vec<(f64, Option<usize>)>);

/// Why a text is no [`LrPieces`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{text}` is no list of rates and steps such as `0.005:100, 1e-3:1000, 1e-5`: {problem}")]
pub struct LrPiecesError {
    text: String,
    problem: &'static str,
}

impl LrPieces {
    /// The rate that drives update `step` (0-based); past the last step that is named, the last rate.
    pub fn at(&self, step: usize) -> f64 {
        let holds = |(_, end): &&(f64, Option<usize>)| end.is_none_or(|end| step < end);
        let piece = self.0.iter().find(holds).or(self.0.last());
        piece.map_or(0.0, |(rate, _)| *rate)
    }

    /// The step that the last rate holds up to; none if it holds to the end.
    pub fn end(&self) -> Option<usize> {
        self.0.last().and_then(|(_, end)| *end)
    }
}

impl FromStr for LrPieces {
    type Err = LrPiecesError;

    fn from_str(text: &str) -> Result<Self, LrPiecesError> {
        let wrong = |problem| LrPiecesError { text: text.into(), problem };
        let mut pieces: Vec<(f64, Option<usize>)> = Vec::new();
        for piece in text.split(',') {
            let (rate, end) = match piece.split_once(':') {
                Some((rate, end)) => (rate, Some(end)),
                None => (piece, None),
            };
            let rate: f64 = rate.trim().parse().map_err(|_| wrong("a rate is no number"))?;
            if !(rate.is_finite() && rate > 0.0) {
                return Err(wrong("a rate must be above 0"));
            }
            let end = end.map(|end| end.trim().parse::<usize>()).transpose();
            let end = end.map_err(|_| wrong("a step is no whole number"))?;
            let before = pieces.last().map_or(Some(0), |(_, end)| *end);
            let before = before.ok_or_else(|| wrong("only the last rate may lack its step"))?;
            if end.is_some_and(|end| end <= before) {
                return Err(wrong("each step must be above the one before"));
            }
            pieces.push((rate, end));
        }
        Ok(Self(pieces))
    }
}

impl fmt::Display for LrPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (rate, end)) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { ", " };
            write!(f, "{gap}{rate:?}")?;
            if let Some(end) = end {
                write!(f, ":{end}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for LrPieces {
    type Error = LrPiecesError;

    fn try_from(text: String) -> Result<Self, LrPiecesError> {
        text.parse()
    }
}

impl From<LrPieces> for String {
    fn from(pieces: LrPieces) -> Self {
        pieces.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rate_holds_up_to_its_step_and_the_last_to_the_end() {
        let pieces: LrPieces = "0.005:100, 1e-3:1000,1e-5".parse().unwrap();
        for (step, rate) in [(0, 0.005), (99, 0.005), (100, 1e-3), (999, 1e-3), (1000, 1e-5)] {
            assert_eq!(pieces.at(step), rate, "{step}");
        }
        assert_eq!((pieces.at(usize::MAX), pieces.end()), (1e-5, None));
        let ends: LrPieces = "1e-3 : 10".parse().unwrap();
        assert_eq!((ends.at(11), ends.end()), (1e-3, Some(10)));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["0.005:100, 0.001:1000, 1e-5", "0.5"] {
            let pieces: LrPieces = text.parse().unwrap();
            assert_eq!(pieces.to_string(), text);
            assert_eq!(pieces.to_string().parse(), Ok(pieces));
        }
    }

    #[test]
    fn other_lists_are_refused_with_the_reason() {
        for (text, problem) in [
            ("", "no number"),
            ("0.1,,0.2", "no number"),
            ("fast", "no number"),
            ("0", "above 0"),
            ("inf", "above 0"),
            ("0.1:ten", "no whole number"),
            ("0.1:-1", "no whole number"),
            ("0.1, 0.2", "may lack its step"),
            ("0.1:0", "above the one before"),
            ("0.1:10, 0.2:10", "above the one before"),
        ] {
            let error = text.parse::<LrPieces>().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
