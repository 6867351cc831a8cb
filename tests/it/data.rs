//! `dvar::data` against Pillow, torchvision and transformers (golden sets `dataset`,
//! `image_resize`, `clip_scores`), and every way a picture or folder can be bad.

mod folders;

use std::{io::Cursor, path::PathBuf};

use dvar::data::{
    clip_pixels::{CLIP_MEAN, CLIP_STD, clip_pixel_values},
    dataset::{Dataset, Pairing},
    decode::decode,
    image::{Mode, Picture},
    png::encode_png,
    reading::CropMode,
    resize::Filter,
    templates::{LearnableProperty, fill},
};
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::Value;

use crate::golden::{self, Golden, Tensors, assert_close};

fn concept_file(name: &str) -> PathBuf {
    golden::root().join("images/concept").join(name)
}

fn open(folder: &str, name: &Value) -> Picture {
    let name = name.as_str().unwrap();
    let bytes = std::fs::read(golden::root().join("images").join(folder).join(name)).unwrap();
    decode(&bytes, name).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key}"))
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Exact comparison of `[height, width, 3]` bytes; says how far off the worst one is.
fn assert_pixels(label: &str, got: &Picture, want: &Golden) {
    assert_eq!([got.height(), got.width(), 3], want.shape[..], "{label}");
    let got: Vec<f64> = got.pixels().iter().map(|sample| f64::from(*sample)).collect();
    assert_close(label, &got, &want.values, 0.0, 0.0);
}

#[test]
fn resizes_every_golden_picture_exactly_as_pillow() {
    let (tensors, meta) = (Tensors::open("image_resize"), golden::json("image_resize"));
    assert!(!list(&meta, "rows").is_empty());
    for row in list(&meta, "rows") {
        let filter = match row["filter"].as_str().unwrap() {
            "bicubic" => Filter::Bicubic,
            "bilinear" => Filter::Bilinear,
            "lanczos" => Filter::Lanczos,
            other => panic!("unknown filter {other}"),
        };
        let file = row["file"].as_str().unwrap();
        let rgb = open("concept", &row["file"]).into_rgb();
        assert_pixels(file, &rgb, tensors.get(&format!("{file}.rgb")));
        let size: Vec<usize> =
            golden::numbers(&row["dst_wh"]).iter().map(|v| *v as usize).collect();
        let key = row["key"].as_str().unwrap();
        assert_pixels(key, &rgb.resize(size[0], size[1], filter), tensors.get(key));
    }
}

#[test]
fn crops_the_centre_of_every_golden_picture_as_torchvision() {
    let tensors = Tensors::open("image_resize");
    let crops: Vec<_> = tensors.keys().filter_map(|key| key.strip_suffix(".center_crop")).collect();
    assert!(!crops.is_empty());
    for file in crops {
        let cropped = open("concept", &file.into()).into_rgb().center_crop();
        assert_pixels(file, &cropped, tensors.get(&format!("{file}.center_crop")));
    }
}

#[test]
fn resizes_in_the_mode_of_the_file_exactly_as_pillow() {
    let tensors = Tensors::open("image_resize");
    let keys: Vec<_> = tensors.keys().filter(|key| key.contains(".open_image.")).collect();
    assert!(!keys.is_empty());
    for key in keys {
        let file = key.split(".open_image.").next().unwrap();
        let want = tensors.get(key);
        let resized =
            open("concept", &file.into()).resize(want.shape[1], want.shape[0], Filter::Bicubic);
        assert_pixels(key, &resized.into_rgb(), want);
    }
}

#[test]
fn prepares_the_golden_dataset_as_the_official_code() {
    let (tensors, meta) = (Tensors::open("dataset"), golden::json("dataset"));
    for part in ["sd", "ldm"] {
        for (name, crop) in [("crop", CropMode::Center), ("squash", CropMode::Squash)] {
            let key = format!("{part}.{name}");
            let files: Vec<&str> =
                list(&meta[&key], "files").iter().map(|file| file.as_str().unwrap()).collect();
            let paths: Vec<PathBuf> = files.iter().map(|file| concept_file(file)).collect();
            let resolution = golden::number(&meta[&key]["size"]) as usize;
            let dataset = Dataset::from_files(&paths, resolution, crop).unwrap();
            assert_eq!(dataset.pictures().len(), files.len());
            for index in 0..files.len() {
                let key = format!("{key}.image{index}");
                for (key, flip) in [(key.clone(), false), (format!("{key}.flipped"), true)] {
                    if flip && !tensors.has(&key) {
                        continue;
                    }
                    let want = tensors.get(&key);
                    assert_eq!(want.shape, [3, resolution, resolution]);
                    let picture = &dataset.pictures()[index];
                    let picture = if flip { picture.flip() } else { picture.clone() };
                    let got = f64s(&picture.to_pixel_values());
                    assert_close(&key, &got, &want.values, 1e-6, 0.0);
                }
            }
        }
        assert!(tensors.has(&format!("{part}.crop.image0.flipped")));
    }
}

#[test]
fn pairs_and_templates_are_those_of_the_official_code() {
    let meta = golden::json("dataset");
    for part in ["sd", "ldm"] {
        for (name, property) in
            [("object", LearnableProperty::Object), ("style", LearnableProperty::Style)]
        {
            let formatted = list(&meta[format!("{part}.{name}")], "formatted");
            let templates = property.templates();
            let (before, _) = templates[0].split_once("{}").unwrap();
            let placeholder = formatted[0].as_str().unwrap().strip_prefix(before).unwrap();
            let filled: Vec<_> =
                templates.iter().map(|t| Value::from(fill(t, placeholder))).collect();
            assert_eq!(&filled, formatted, "{part}.{name}");
        }
        let entry = &meta[format!("{part}.crop")];
        let (pictures, templates) =
            (list(entry, "files").len(), LearnableProperty::Object.templates().len());
        for pair in list(entry, "pairs") {
            let [i, picture, template] =
                ["i", "image", "template"].map(|key| golden::number(&pair[key]) as usize);
            assert_eq!(Pairing::Official.pair(i, pictures, templates), (picture, template));
        }
    }
}

#[test]
fn prepares_pictures_for_clip() {
    let (tensors, meta) = (Tensors::open("clip_scores"), golden::json("clip_scores"));
    let files = |folder: &str, key: &str| -> Vec<Picture> {
        list(&meta, key).iter().map(|name| open(folder, name)).collect()
    };
    let all = files("concept", "ref_files");
    let side = golden::number(&meta["open_image_resolution"]) as usize;
    let used = golden::numbers(&meta["refs_used"]);
    let sets = [
        ("ref", used.iter().map(|index| all[*index as usize].clone()).collect()),
        ("gen", files("generated", "gen_files")),
        (
            "ref_open_image",
            all.iter().map(|p| p.resize(side, side, Filter::Bicubic).into_rgb()).collect(),
        ),
        ("ref_all", all),
    ];
    for (name, pictures) in sets {
        let key = format!("{name}.pixel_values");
        let want = tensors.get(&key);
        assert_eq!(want.shape[0], pictures.len(), "{key}");
        let size = want.shape[2];
        let got: Vec<f64> = pictures
            .iter()
            .flat_map(|p| f64s(&clip_pixel_values(p, size, CLIP_MEAN, CLIP_STD)))
            .collect();
        assert_close(&key, &got, &want.values, 1e-5, 0.0);
    }
}

// Bad pictures.

/// A file with `[red, 0, blue]` in its left half and `[0, green, 0]` in its right half.
fn halves(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_fn(width, height, |x, _| {
        image::Rgb(if x < width / 2 { [250, 0, 250] } else { [0, 250, 0] })
    });
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(pixels).write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// The message for a bad picture: one sentence on one line that names the picture.
fn refusal(bytes: &[u8], name: &str) -> String {
    let message = decode(bytes, name).expect_err("refused").to_string();
    assert!(message.contains(&format!("`{name}`")), "{message}");
    assert!(!message.contains('\n') && !message.ends_with('.'), "{message}");
    message
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// The start of a PNG file of the size named, without its pixels.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &[])].concat()
}

#[test]
fn refuses_a_header_of_hundreds_of_megapixels_in_each_format() {
    let jpeg = {
        let mut file = halves(16, 16, ImageFormat::Jpeg);
        let frame = file.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
        file[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
        file
    };
    for (name, bytes) in [("wide.png", png_header(30_000, 30_000)), ("wide.jpg", jpeg)] {
        let message = refusal(&bytes, name);
        assert!(message.contains("30000 x 30000") && message.contains("100 mega"), "{message}");
    }
    let mut webp = halves(16, 16, ImageFormat::WebP);
    // 14 bits each for width - 1 and height - 1.
    webp[21..25].copy_from_slice(&(16_382_u32 << 14 | 16_382).to_le_bytes());
    let message = refusal(&webp, "wide.webp");
    assert!(message.contains("16383 x 16383"), "{message}");
}

#[test]
fn refuses_a_few_bytes_that_claim_a_large_picture() {
    for name in ["bmp", "gif", "png", "tif"].map(|ending| format!("claims-81-megapixels.{ending}"))
    {
        let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/picture");
        let message = refusal(&std::fs::read(corpus.join(&name)).unwrap(), &name);
        assert!(message.contains("too few for the 9000 x 9000 pixels"), "{message}");
        assert!(message.contains("save it as a grey or RGB PNG of 8 bits"), "{message}");
    }
    // which is read, however flat it is
    let flat = encode_png(4000, 3000, &vec![200; 4000 * 3000 * 3]).unwrap();
    assert!(decode(&flat, "flat.png").is_ok());
    let values = include_bytes!("../../fuzz/corpus/picture/claims-262401-values.tif");
    let message = refusal(values, "values.tif");
    assert!(message.contains("more values than the file has bytes"), "{message}");
}

#[test]
fn refuses_a_picture_of_one_pixel_and_one_that_is_a_line() {
    let message = refusal(&encode_png(1, 1, &[0; 3]).unwrap(), "dot.png");
    assert!(message.contains("1 x 1") && message.contains("larger picture"), "{message}");
    let message = refusal(&encode_png(330, 10, &[0; 9900]).unwrap(), "line.png");
    assert!(message.contains("330 x 10") && message.contains("crop it"), "{message}");
}

#[test]
fn refuses_an_empty_file_and_text_and_other_formats_under_a_picture_name() {
    assert!(refusal(b"", "a.png").contains("0 bytes"));
    for content in [&b"not a picture\n"[..], b"\0\0\0 ftypheic", b"\x89", b"\xFF\xD8"] {
        assert!(refusal(content, "a.png").contains("is not a PNG, JPEG, WebP, BMP, GIF or TIFF"));
    }
}

#[test]
fn refuses_pictures_cut_short_at_any_place_and_garbled_ones() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let whole = halves(64, 48, format);
        assert!(decode(&whole, "whole").is_ok());
        for length in 16..whole.len() - 8 {
            let message = refusal(&whole[..length], "cut");
            assert!(message.contains("damaged or cut short"), "{format:?} at {length}: {message}");
        }
        // Garbled data must give an answer of some kind, never a panic.
        for place in 0..whole.len() {
            let mut garbled = whole.clone();
            garbled[place] ^= 0xFF;
            let _ = decode(&garbled, "garbled");
        }
    }
    let mut garbled = halves(64, 48, ImageFormat::Png);
    let middle = garbled.len() / 2;
    garbled[middle] ^= 0xFF;
    assert!(refusal(&garbled, "garbled.png").contains("damaged"));
}

#[test]
fn bmp_gif_and_tiff_give_the_pixels_of_png_and_never_a_panic() {
    let png = decode(&halves(64, 48, ImageFormat::Png), "png").unwrap();
    for format in [ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff] {
        let whole = halves(64, 48, format);
        let picture = decode(&whole, "whole").unwrap().into_rgb();
        assert_eq!((picture.width(), picture.height()), (64, 48));
        let far = picture.pixels().iter().zip(png.pixels()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(far.unwrap() <= 8, "{format:?}: a GIF has 256 colours");
        for place in 0..whole.len().min(400) {
            let mut garbled = whole.clone();
            garbled[place] ^= 0xFF;
            let _ = decode(&garbled, "garbled");
            let _ = decode(&whole[..place], "cut");
        }
    }
}

#[test]
fn turns_a_photograph_upright_by_its_exif_orientation() {
    let plain = halves(64, 32, ImageFormat::Jpeg);
    // Big-endian TIFF: one entry, tag 0x0112 (orientation), one short of value 6 (turn clockwise).
    let exif = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let turned = [&plain[..2], &[0xFF, 0xE1], &length, exif, &plain[2..]].concat();
    let (plain, turned) = (decode(&plain, "p").unwrap(), decode(&turned, "t").unwrap());
    assert_eq!((plain.width(), plain.height()), (64, 32));
    assert_eq!((turned.width(), turned.height()), (32, 64));
    // What was left is now above, with its former lower edge to the left.
    for (x, y) in [(0, 0), (31, 0), (5, 20), (0, 63), (31, 63)] {
        let at = |picture: &Picture, x: usize, y: usize| {
            let start = (y * picture.width() + x) * 3;
            picture.pixels()[start..start + 3].to_vec()
        };
        assert_eq!(at(&turned, x, y), at(&plain, y, 31 - x), "({x}, {y})");
    }
    assert_eq!(turned.mode(), Mode::Rgb);
}

#[test]
fn turns_a_tiff_upright_by_its_own_tag() {
    // 16 x 8 grey pixels, the left half black
    let pixels = [[0_u8; 8], [200; 8]].concat().repeat(8);
    let tiff = |orientation: u16| {
        let mut file = [&b"II*\0"[..], &136_u32.to_le_bytes(), &pixels].concat();
        let fields = [
            (256, 16), // width
            (257, 8),  // height
            (258, 8),  // bits of a sample
            (259, 1),  // not compressed
            (262, 1),  // 0 is black
            (273, 8),  // where the pixels begin
            (274, orientation),
            (277, 1),   // one sample a pixel
            (278, 8),   // all rows in one strip
            (279, 128), // its bytes
        ];
        file.extend((fields.len() as u16).to_le_bytes());
        for (tag, value) in fields {
            // one number of 16 bits
            file.extend([tag, 3, 1, 0, value, 0].into_iter().flat_map(u16::to_le_bytes));
        }
        file.extend([0; 4]);
        decode(&file, "a.tif").unwrap()
    };
    assert_eq!((tiff(1).width(), tiff(1).pixels()), (16, &pixels[..]));
    let turned = tiff(6);
    assert_eq!((turned.width(), turned.height(), turned.mode()), (8, 16, Mode::L));
    assert_eq!(turned.pixels(), [[0_u8; 64], [200; 64]].concat(), "what was left is now above");
}

#[test]
fn turns_a_webp_upright_also_behind_a_chunk_of_odd_length() {
    let plain = halves(64, 32, ImageFormat::WebP);
    // a picture of 64 x 32 pixels with EXIF data, and that of a JPEG without its beginning
    let extended = b"VP8X\x0a\0\0\0\x08\0\0\0\x3f\0\0\x1f\0\0";
    let exif = b"EXIF\x1a\0\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let body = [b"WEBP", &extended[..], &plain[12..], b"ODD \x03\0\0\0odd\0", exif].concat();
    let turned = [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat();
    let (plain, turned) = (decode(&plain, "p").unwrap(), decode(&turned, "t").unwrap());
    assert_eq!((plain.width(), plain.height()), (64, 32));
    assert_eq!((turned.width(), turned.height()), (32, 64));
}

#[test]
fn the_high_byte_of_16_bit_samples_is_kept() {
    let samples: Vec<u16> = (0..64 * 3).map(|i| i * 341 + 255).collect();
    let deep = image::ImageBuffer::from_raw(8, 8, samples.clone()).unwrap();
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgb16(deep).write_to(&mut file, ImageFormat::Png).unwrap();
    let high: Vec<u8> = samples.iter().map(|sample| (sample >> 8) as u8).collect();
    assert_eq!(decode(file.get_ref(), "deep.png").unwrap().pixels(), high);
}

#[test]
fn a_png_written_and_read_again_is_the_same_picture() {
    let pixels: Vec<u8> = (0..9 * 13 * 3).map(|i| (i * 7 % 256) as u8).collect();
    let file = encode_png(13, 9, &pixels).unwrap();
    assert_eq!(decode(&file, "x").unwrap(), Picture::from_rgb(13, 9, pixels).unwrap());
}
