//! What is read of the pictures, and beside them.

use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
use super::Switch;
use crate::data::reading::Background;

/// What is read of the pictures, and beside them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct PictureOptions {
    /// Train each picture with the caption beside it, `cat.txt` for `cat.png`, in which `{}` or the
    /// new word stands for the concept [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub captions: Option<bool>,
    /// Captions in place of the built-in ones, such as `a photo of {}, [caption]`, where `[caption]`
    /// stands for the text beside the picture; may be repeated
    #[cfg_attr(feature = "cli", arg(long, value_name = "TEXT"))]
    pub caption_template: Option<Vec<String>>,
    /// Shuffle the comma-separated tags of the pictures' captions [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub shuffle_tags: Option<bool>,
    /// Probability that a tag of a picture's caption is left out; tags with the new word always
    /// stay [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    pub tag_dropout: Option<f64>,
    /// Weight the loss by masks: `cat.mask.png` beside `cat.png`, white where it counts; without
    /// one, by the picture's own opacity [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub masked_loss: Option<bool>,
    /// Colour behind transparent parts: `white`, `black`, `gray`, or a code such as `#ff8800`
    /// [default: what the file hides there]
    #[cfg_attr(feature = "cli", arg(long, value_name = "COLOR"))]
    pub background: Option<Background>,
    /// Read kohya's sub-folders, whose names begin with how often their pictures count, such as
    /// `10_mycat` [default: false]
    #[cfg_attr(feature = "cli", arg(long, switch()))]
    pub kohya_folders: Option<bool>,
}
