//! What can be wrong with a folder of pictures or with one picture.

use thiserror::Error;

/// The formats that are read, of which a page has fewer.
#[cfg(not(target_arch = "wasm32"))]
const READ: &str = "PNG, JPEG, WebP, BMP, GIF or TIFF";
#[cfg(target_arch = "wasm32")]
const READ: &str = "PNG, JPEG or WebP";

/// A folder or a picture that cannot be used; the message says which one and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The folder of pictures does not exist.
    #[error(
        "no folder `{path}`: check the path or create the folder and put 3 to 6 pictures in it"
    )]
    NoSuchFolder {
        /// The folder asked for.
        path: String,
    },
    /// The path of the folder names a file.
    #[error("`{path}` is a file, not a folder: name the folder that holds the pictures")]
    NotAFolder {
        /// The path asked for.
        path: String,
    },
    /// The folder holds no file with a picture's extension.
    #[error(
        "no png, jpg, webp, bmp, gif or tiff files in `{path}` (found {found}): put 3 to 6 pictures \
         there"
    )]
    NoPictures {
        /// The folder.
        path: String,
        /// What it holds instead, in words.
        found: String,
    },
    /// No folder in the folder is named as kohya does.
    #[error(
        "no folders such as `10_mycat` in `{path}`, whose number says how often their pictures count: \
         name them so, or leave `kohya_folders` out"
    )]
    NoRepeats {
        /// The folder.
        path: String,
    },
    /// A folder's number asks for more pictures than are read.
    #[error(
        "the number in the name of `{path}` makes {count} pictures, over the limit of \
         {limit}: give the folder a lower number"
    )]
    TooManyRepeats {
        /// The folder, whose name begins with the number.
        path: String,
        /// The pictures that there would be, with those of the folders before it.
        count: usize,
        /// The most that are read.
        limit: usize,
    },
    /// A picture has no text beside it.
    #[error("`{name}` has no caption: write one to `{caption}`")]
    NoCaption {
        /// The picture's name.
        name: String,
        /// The file that would hold it.
        caption: String,
    },
    /// A caption in another encoding, such as one of Windows'.
    #[error("`{name}` is no text in UTF-8: save it again in that encoding")]
    NotUtf8 {
        /// The file.
        name: String,
    },
    /// A text beside a picture that is longer than any caption.
    #[error("`{name}` has over {limit} bytes, which no caption has: shorten it or remove it")]
    LongCaption {
        /// The file.
        name: String,
        /// How many bytes a caption may have.
        limit: u64,
    },
    /// Masks were asked for and no picture has one.
    #[error(
        "no picture has a mask: `cat.png` takes `cat.mask.png` beside it, or its own transparent \
         parts; or leave `masked_loss` out"
    )]
    NoMasks,
    /// A mask of another size than its picture.
    #[error(
        "the mask `{name}` has {} x {} pixels, its picture {} x {}: make them equal",
        mask[0], mask[1], picture[0], picture[1]
    )]
    MaskSize {
        /// The mask's name.
        name: String,
        /// Its width and height.
        mask: [usize; 2],
        /// Its picture's.
        picture: [usize; 2],
    },
    /// An empty list of pictures was given.
    #[error("no pictures were given: choose 3 to 6 png, jpg or webp pictures")]
    NothingGiven,
    /// The file system refused to read a file or folder.
    #[error("cannot read `{path}` ({source}): check that it exists and that you may read it")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of zero bytes.
    #[error("`{name}` is empty (0 bytes): copy the picture again or remove the file")]
    Empty {
        /// The picture's name.
        name: String,
    },
    /// The content is none of the known picture formats, whatever the file's extension.
    #[error("`{name}` is not a {READ} picture: convert it to one of these or remove it")]
    NotAPicture {
        /// The picture's name.
        name: String,
    },
    /// A picture in a variant of its format that is not read.
    #[error(
        "`{name}` is a picture of a kind that is not read ({reason}): save it as an RGB PNG or remove it"
    )]
    Unsupported {
        /// The picture's name.
        name: String,
        /// The decoder's reason.
        reason: String,
    },
    /// The content starts as a picture but cannot be decoded.
    #[error("`{name}` is damaged or cut short ({reason}): copy it again or remove it")]
    Damaged {
        /// The picture's name.
        name: String,
        /// The decoder's reason.
        reason: String,
    },
    /// The header announces more pixels than are decoded.
    #[error(
        "`{name}` has {width} x {height} pixels, over the limit of {limit} megapixels: \
         make it smaller, 1024 pixels a side are plenty"
    )]
    TooLarge {
        /// The picture's name.
        name: String,
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// The limit in millions of pixels.
        limit: usize,
    },
    /// A side is too short to show anything.
    #[error(
        "`{name}` has {width} x {height} pixels, under the limit of {limit} a side: \
         use a larger picture"
    )]
    TooSmall {
        /// The picture's name.
        name: String,
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// The shortest side accepted, in pixels.
        limit: usize,
    },
    /// One side is many times the other.
    #[error(
        "`{name}` has {width} x {height} pixels, one side over {limit} times the other: \
         crop it to its subject"
    )]
    TooNarrow {
        /// The picture's name.
        name: String,
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// The largest ratio of the sides accepted.
        limit: usize,
    },
    /// The side that pictures are resized to is out of range.
    #[error("a resolution of {resolution} pixels cannot be used: choose {lowest} to {highest}")]
    Resolution {
        /// The side asked for, in pixels.
        resolution: usize,
        /// The least accepted.
        lowest: usize,
        /// The most accepted.
        highest: usize,
    },
    /// A buffer does not hold the pixels its width and height call for.
    #[error(
        "a picture of {width} x {height} needs {} bytes of RGB, not {bytes}: \
         pass 3 bytes a pixel",
        width.saturating_mul(*height).saturating_mul(3)
    )]
    WrongLength {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes given.
        bytes: usize,
    },
    /// The PNG writer refused a picture.
    #[error("a picture of {width} x {height} cannot be written as PNG: {reason}")]
    Encode {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// The encoder's reason.
        reason: String,
    },
}

impl DataError {
    /// The option that is to be changed, by its name in a configuration file. A folder has none:
    /// several options name folders.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::NothingGiven => Some("train_data_dir"),
            Self::Resolution { .. } => Some("resolution"),
            Self::NoMasks => Some("masked_loss"),
            Self::NoRepeats { .. } => Some("kohya_folders"),
            _ => None,
        }
    }
}
