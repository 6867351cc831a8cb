//! Folders of pictures as users have them.

use std::{fs, io::Cursor};

use image::{DynamicImage, ImageFormat};

use crate::harness::{Cli, train_args};

/// A sound WebP picture whose EXIF chunk claims to be 4 GiB long.
fn webp_with_endless_exif() -> Vec<u8> {
    let mut plain = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(96, 96).write_to(&mut plain, ImageFormat::WebP).unwrap();
    let chunks = &plain.get_ref()[12..];
    let mut extended = b"VP8X\x0a\0\0\0\x08\0\0\0".to_vec();
    extended.extend([95, 0, 0, 95, 0, 0]); // width and height, less one
    let body = [b"WEBP", &extended[..], chunks, b"EXIF\xff\xff\xff\xffMM\0\x2a"].concat();
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

#[cfg(target_os = "linux")]
#[test]
fn a_picture_that_claims_4_gib_of_exif_data_takes_no_such_memory() {
    let cli = Cli::new();
    fs::create_dir(cli.path("pictures")).unwrap();
    fs::write(cli.path("pictures/a.webp"), webp_with_endless_exif()).unwrap();
    let steps = ["-o", "run", "--max-train-steps", "1", "--num-samples", "1"];
    let program = cli.command(&train_args(&steps));
    let mut limited = std::process::Command::new("sh");
    // 4,000,000 KiB of address space, of which a plain run takes a fraction
    limited.args(["-c", "ulimit -v 4000000 && exec \"$0\" \"$@\""]).arg(program.get_program());
    limited.args(program.get_args()).current_dir(cli.path(""));
    cli.ran(limited.output().unwrap()).ok();
}
