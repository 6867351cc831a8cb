//! What this crate draws random numbers for.

/// What a stream of random numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Which picture and template each training input takes.
    Pairs,
    /// Which training inputs are mirrored.
    Flips,
    /// Noise of the autoencoder's posterior in training.
    PosteriorNoise,
    /// Diffusion noise in training.
    Noise,
    /// Time steps in training.
    Timesteps,
    /// The fixed evaluation batch: everything above, once.
    Evaluation,
    /// The first latents of a generated picture.
    Sampling,
    /// Where LoRA's first factors start.
    LoraDown,
    /// Size and place of pictures that Custom Diffusion rescales.
    Rescaling,
    /// Everything that is drawn for the pictures of the concept's class.
    Prior,
    /// The initial token of the strategy `random`.
    Initialization,
    /// Noise that a stochastic scheduler adds while sampling.
    SamplingVariance,
    /// Which tags of a caption are left out, and in what order the others stand.
    Captions,
    /// The order in which pictures of several sizes have their turns.
    Sizes,
}

impl AsRef<str> for Purpose {
    /// At most 16 bytes; part of the key, so changing one changes every run.
    fn as_ref(&self) -> &str {
        match self {
            Self::Pairs => "pairs",
            Self::Flips => "flips",
            Self::PosteriorNoise => "posterior-noise",
            Self::Noise => "noise",
            Self::Timesteps => "timesteps",
            Self::Evaluation => "evaluation",
            Self::LoraDown => "lora-down",
            Self::Rescaling => "rescaling",
            Self::Prior => "prior",
            Self::Initialization => "initialization",
            Self::Sampling => "sampling",
            Self::SamplingVariance => "sampling-noise",
            Self::Captions => "captions",
            Self::Sizes => "sizes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn each_purpose_keeps_its_draws_across_versions() {
        // A change here changes every seeded run of every user: bump the version if it must be.
        for (purpose, name) in [
            (Purpose::Pairs, "pairs"),
            (Purpose::Flips, "flips"),
            (Purpose::PosteriorNoise, "posterior-noise"),
            (Purpose::Noise, "noise"),
            (Purpose::Timesteps, "timesteps"),
            (Purpose::Evaluation, "evaluation"),
            (Purpose::Sampling, "sampling"),
            (Purpose::LoraDown, "lora-down"),
            (Purpose::Rescaling, "rescaling"),
            (Purpose::Prior, "prior"),
            (Purpose::Initialization, "initialization"),
            (Purpose::SamplingVariance, "sampling-noise"),
            (Purpose::Captions, "captions"),
            (Purpose::Sizes, "sizes"),
        ] {
            assert_eq!(purpose.as_ref(), name);
        }
        let noise = Stream::new(0, Purpose::Noise, 0).normal(3);
        assert_eq!(noise, [-0.697_940_23, 0.012_662_131, 1.635_309_3]);
        assert_eq!(Stream::new(7, Purpose::Timesteps, 5).below(1000), 619);
    }
}
