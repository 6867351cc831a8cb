//! Which factors of the evaluation batch stay fixed (arXiv 2302.04841v1, section 4.4).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The five factors of the deterministic objective; each is drawn once for the run, or anew at
/// every evaluation. As text, the official code's `exp_code`: a 1 for each fixed factor, in the
/// order of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EvaluationSwitches {
    /// Which pictures, and whether they are mirrored.
    pub images: bool,
    /// The noise of the autoencoder's posterior.
    pub latents: bool,
    /// The diffusion noise.
    pub noise: bool,
    /// Which caption templates.
    pub captions: bool,
    /// The time steps.
    pub timesteps: bool,
}

impl Default for EvaluationSwitches {
    /// Everything fixed: DVAR.
    fn default() -> Self {
        Self { images: true, latents: true, noise: true, captions: true, timesteps: true }
    }
}

impl EvaluationSwitches {
    /// All combinations, from everything redrawn to everything fixed.
    pub fn all() -> impl Iterator<Item = Self> {
        (0_u8..32).map(|bits| {
            let fixed = |place: u8| bits >> (4 - place) & 1 == 1;
            Self {
                images: fixed(0),
                latents: fixed(1),
                noise: fixed(2),
                captions: fixed(3),
                timesteps: fixed(4),
            }
        })
    }

    /// The switches in order.
    pub(super) fn fixed(self) -> [bool; 5] {
        [self.images, self.latents, self.noise, self.captions, self.timesteps]
    }
}

/// A text that is no `exp_code`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no experiment code; give five digits, each 1 (fixed) or 0 (redrawn): images, latents, noise, captions, timesteps"
)]
pub struct UnknownSwitches(String);

impl FromStr for EvaluationSwitches {
    type Err = UnknownSwitches;

    fn from_str(code: &str) -> Result<Self, UnknownSwitches> {
        Self::all()
            .find(|switches| switches.to_string() == code)
            .ok_or_else(|| UnknownSwitches(code.into()))
    }
}

impl fmt::Display for EvaluationSwitches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fixed().iter().try_for_each(|fixed| write!(f, "{}", u8::from(*fixed)))
    }
}

impl TryFrom<String> for EvaluationSwitches {
    type Error = UnknownSwitches;

    fn try_from(code: String) -> Result<Self, UnknownSwitches> {
        code.parse()
    }
}

impl From<EvaluationSwitches> for String {
    fn from(switches: EvaluationSwitches) -> Self {
        switches.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_names_the_factors_in_the_official_order() {
        let switches: EvaluationSwitches = "10010".parse().unwrap();
        assert!(switches.images && switches.captions);
        assert!(!switches.latents && !switches.noise && !switches.timesteps);
        assert_eq!("11111".parse(), Ok(EvaluationSwitches::default()));
        assert_eq!(EvaluationSwitches::all().count(), 32);
        for switches in EvaluationSwitches::all() {
            assert_eq!(switches.to_string().parse(), Ok(switches));
        }
        for wrong in ["", "1111", "111111", "1111x", "2"] {
            assert!(wrong.parse::<EvaluationSwitches>().is_err(), "{wrong}");
        }
    }
}
