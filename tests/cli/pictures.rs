//! Folders of pictures as users have them.

use std::{fs, io::Cursor};

use image::{DynamicImage, ImageFormat};

use crate::harness::Cli;

/// A sound WebP picture whose EXIF chunk claims to be 4 GiB long.
#[cfg(target_os = "linux")]
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
    // of which a plain run takes a fraction
    cli.run_within(4_000_000, &crate::harness::train_args(&steps)).ok();
}

/// A picture of one colour, half of which is transparent.
fn half_transparent(color: [u8; 3]) -> Vec<u8> {
    let [red, green, blue] = color;
    let picture = image::RgbaImage::from_fn(64, 64, |x, _| {
        image::Rgba([red, green, blue, if x < 32 { 255 } else { 0 }])
    });
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgba8(picture).write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// The losses of a run of two steps, `loss` and `eval_loss` of each.
fn losses(cli: &Cli, folder: &str, more: &[&str]) -> (String, Vec<(f64, f64)>) {
    let steps = ["-o", folder, "--max-train-steps", "2", "--num-samples", "1"];
    let said = cli.train(&[&steps[..], more].concat()).ok();
    let steps = cli.metrics(folder).into_iter();
    let figures =
        steps.map(|step| (step["loss"].as_f64().unwrap(), step["eval_loss"].as_f64().unwrap()));
    (said, figures.collect())
}

fn refused(cli: &Cli, more: &[&str]) -> String {
    let ran = cli.train(&[&["-o", "refused"], more].concat());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(!cli.path("refused").exists(), "nothing is left behind");
    ran.stderr
}

#[test]
fn captions_beside_the_pictures_are_trained_on_and_fixed_for_the_evaluation() {
    let cli = Cli::new();
    let pictures = cli.concept("koala", "pictures");
    let said = refused(&cli, &["--captions"]);
    assert!(said.contains("0.png` has no caption: write one to `"), "{said}");
    fs::write(pictures.join("0.txt"), b"a {} in a caf\xe9").unwrap();
    let said = refused(&cli, &["--captions"]);
    assert!(said.contains("0.txt` is no text in UTF-8: save it again in that encoding"), "{said}");
    fs::write(pictures.join("0.txt"), "{} ".repeat(7000)).unwrap();
    let said = refused(&cli, &["--captions"]);
    assert!(said.contains("0.txt` has over 20000 bytes, which no caption has"), "{said}");
    for (number, text) in
        ["a {} on grass, grey", "<umb>, grey", "a {}", "{}", "{}"].iter().enumerate()
    {
        fs::write(pictures.join(format!("{number}.txt")), text).unwrap();
    }
    let (said, plain) = losses(&cli, "plain", &[]);
    let unread = "captions   beside 5 of 5 pictures lies a text, which `--captions` reads";
    assert!(said.contains(unread), "{said}");
    let (said, own) = losses(&cli, "own", &["--captions"]);
    assert!(own != plain && !said.contains("lies a text"), "{said}");
    let (_, again) = losses(&cli, "again", &["--caption-template", "[caption]"]);
    assert_eq!(own, again, "the same captions by another way");
    let tags = ["--captions", "--shuffle-tags", "--tag-dropout", "0.5"];
    let (_, shuffled) = losses(&cli, "shuffled", &tags);
    assert_ne!(shuffled, own);
    assert_eq!(losses(&cli, "repeated", &tags).1, shuffled, "drawn from the seed");
    // the word in another case, as the tokenizer reads it
    fs::write(pictures.join("1.txt"), "<UMB>, grey").unwrap();
    assert_eq!(losses(&cli, "upper", &tags).1, shuffled, "its tag is never dropped");

    fs::write(pictures.join("1.txt"), "grey").unwrap();
    let said = refused(&cli, &["--captions"]);
    assert!(said.contains("1.png`: the caption `grey` does not name the concept"), "{said}");
    losses(&cli, "named", &["--caption-template", "a photo of {}, [caption]"]);
    let said = refused(&cli, &["--caption-template", "a photo"]);
    assert!(
        said.contains("`caption_template` is `a photo`; it must be a text with `{}`"),
        "{said}"
    );
    let said = refused(&cli, &["--captions", "--caption-template", "a photo of {}"]);
    assert!(said.contains("`captions` is set; it must be left out, or given a place by"), "{said}");
    let said = refused(&cli, &["--shuffle-tags"]);
    assert!(said.contains("given with `captions`"), "{said}");
}

#[test]
fn captions_whose_ends_are_not_read_are_counted() {
    let cli = Cli::new();
    let pictures = cli.concept("koala", "pictures");
    for number in 0..5 {
        let text =
            if number < 2 { format!("{{}} {number}{}", ", grey".repeat(80)) } else { "{}".into() };
        fs::write(pictures.join(format!("{number}.txt")), text).unwrap();
    }
    let train = |folder: &'static str, more: &[&'static str]| {
        let steps = ["-o", folder, "--max-train-steps", "1", "--num-samples", "1"];
        let ran = cli.train(&[&steps[..], more].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stderr
    };
    let said = train("own", &["--captions"]);
    assert!(said.contains("warning: the end of 2 of 3 captions is not trained on"), "{said}");
    assert!(!train("built-in", &[]).contains("not trained on"), "the texts are not read");
}

#[test]
fn more_vectors_than_a_caption_has_room_for_are_refused() {
    let cli = Cli::with_pictures_of("koala");
    let long = format!("a photo of a {{}}{}", " on grass".repeat(40));
    losses(&cli, "first", &["--caption-template", &long, "--num-vectors", "2"]);
    let last = format!("{}of a {{}}", "a photo ".repeat(40));
    let said = refused(&cli, &["--caption-template", &last]);
    assert!(said.contains("reads only 0 of the 1 vectors of the concept"), "{said}");
    assert!(said.contains("move its word towards the beginning, or lower `num_vectors`"), "{said}");
}

#[test]
fn a_transparent_picture_is_said_and_takes_a_background_or_masks_the_loss() {
    let cli = Cli::new();
    fs::create_dir(cli.path("pictures")).unwrap();
    fs::write(cli.path("pictures/a.png"), half_transparent([200, 40, 40])).unwrap();
    let (said, plain) = losses(&cli, "plain", &[]);
    assert!(said.contains("1 with transparent parts, whose hidden colours show"), "{said}");
    let (said, white) = losses(&cli, "white", &["--background", "white"]);
    assert!(!said.contains("transparent") && white != plain, "{said}");
    assert_eq!(losses(&cli, "same", &["--background", "#c82828"]).1, plain, "its own colour");

    let (_, masked) = losses(&cli, "masked", &["--masked-loss"]);
    for ((loss, eval), (masked_loss, masked_eval)) in plain.iter().zip(&masked) {
        assert!(masked_loss < loss && masked_eval < eval, "a part of all errors counts");
    }
    let of_two = ["--masked-loss", "--train-batch-size", "2", "--eval-batch-size", "2"];
    let (_, one) = losses(&cli, "one", &of_two);
    let (_, two) = losses(&cli, "two", &[&of_two[..], &["--device", "cpu,cpu"]].concat());
    for ((loss, eval), (shared_loss, shared_eval)) in one.iter().zip(&two) {
        assert!((loss - shared_loss).abs() < 1e-5 && (eval - shared_eval).abs() < 1e-5);
    }
    let white = image::GrayImage::from_pixel(64, 64, image::Luma([255]));
    white.save(cli.path("pictures/a.mask.png")).unwrap();
    let (_, whole) = losses(&cli, "whole", &["--masked-loss"]);
    for ((loss, eval), (masked_loss, masked_eval)) in plain.iter().zip(&whole) {
        assert!((loss - masked_loss).abs() < 1e-5 && (eval - masked_eval).abs() < 1e-5);
    }
    fs::write(cli.path("pictures/a.mask.png"), half_transparent([255; 3])).unwrap();
    let (_, white) = losses(&cli, "transparent", &["--masked-loss"]);
    assert_eq!(white, masked, "where a mask is transparent nothing counts");
    image::GrayImage::new(32, 64).save(cli.path("pictures/a.mask.png")).unwrap();
    let said = refused(&cli, &["--masked-loss"]);
    assert!(said.contains("has 32 x 64 pixels, its picture 64 x 64"), "{said}");
    let said = refused(&cli, &["--background", "red"]);
    assert!(said.contains("`red` is no colour"), "{said}");
}

/// A picture with a slope of colours.
fn slope(cli: &Cli, file: &str, width: u32, height: u32) {
    let color = |x: u32, length: u32| (x * 255 / length) as u8;
    let pixel = |x, y| image::Rgb([color(x, width), color(y, height), 90]);
    image::RgbImage::from_fn(width, height, pixel).save(cli.path(file)).unwrap();
}

#[test]
fn pictures_that_keep_their_proportions_are_trained_on_by_size() {
    let cli = Cli::new();
    fs::create_dir(cli.path("pictures")).unwrap();
    for (file, width, height) in
        [("a.png", 160, 90), ("b.png", 90, 160), ("c.png", 100, 100), ("d.png", 320, 180)]
    {
        slope(&cli, &format!("pictures/{file}"), width, height);
    }
    let wide = ["--crop", "none", "--eval-batch-size", "5", "--each-input"];
    let (said, losses_of_all) = losses(&cli, "all", &wide);
    assert!(said.contains("sizes      2 of 88 x 48, 1 of 48 x 88, 1 of 64 x 64"), "{said}");
    assert_eq!(losses(&cli, "again", &wide).1, losses_of_all, "drawn from the seed");

    // the evaluation is the mean over its inputs, and each has its own place
    let step = cli.metrics("all").remove(0);
    let each = |input: usize| step[format!("eval_loss_input_{input}")].as_f64().unwrap();
    let mean = (0..5).map(each).sum::<f64>() / 5.0;
    assert!((mean - losses_of_all[0].1).abs() < 1e-6, "{mean}, {losses_of_all:?}");
    let sample = image::image_dimensions(cli.path("all/samples/0000.png")).unwrap();
    assert_eq!(sample, (64, 64), "drawn at the resolution");

    // squares stay squares, to the last bit
    for file in ["a.png", "b.png", "d.png"] {
        fs::remove_file(cli.path(&format!("pictures/{file}"))).unwrap();
    }
    let (said, kept) = losses(&cli, "kept", &["--crop", "none"]);
    assert!(said.contains("sizes      1 of 64 x 64"), "{said}");
    assert_eq!(kept, losses(&cli, "cut", &[]).1);
}

#[test]
fn the_input_at_a_place_of_the_evaluation_is_the_same_whatever_the_sizes_beside_it() {
    let cli = Cli::new();
    fs::create_dir(cli.path("pictures")).unwrap();
    let each = |folder: &str| {
        losses(&cli, folder, &["--crop", "none", "--eval-batch-size", "3", "--each-input"]);
        let step = cli.metrics(folder).remove(0);
        [0, 1, 2].map(|input| step[format!("eval_loss_input_{input}")].as_f64().unwrap())
    };
    for (file, width, height) in [("a.png", 80, 80), ("b.png", 160, 90), ("c.png", 90, 90)] {
        slope(&cli, &format!("pictures/{file}"), width, height);
    }
    let first = each("first");
    // b's size changes to one of as many pixels
    slope(&cli, "pictures/b.png", 90, 160);
    let turned = each("turned");
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
    assert!(near(first[0], turned[0]) && near(first[2], turned[2]), "{first:?} {turned:?}");
    assert!(!near(first[1], turned[1]), "{first:?} {turned:?}");
}

#[test]
fn proportions_that_cannot_be_kept_are_refused() {
    let cli = Cli::new();
    let pictures = cli.concept("koala", "pictures");
    let custom = ["--method", "custom-diffusion", "--class-prompt", "bear", "--crop", "none"];
    let said = refused(&cli, &custom);
    assert!(said.contains("`crop` is `none`; it must be `center` or `squash` with"), "{said}");
    let said = refused(&cli, &["--crop", "none", "--resolution", "24"]);
    assert!(said.contains("a resolution of 24 pixels cannot be used: choose 32 to"), "{said}");
    slope(&cli, "pictures/line.png", 500, 100);
    let said = refused(&cli, &["--crop", "none"]);
    assert!(said.contains("500 x 100 pixels, one side over 4 times the other"), "{said}");
    slope(&cli, "pictures/line.png", 400, 100);
    let said = refused(&cli, &["--crop", "none", "--resolution", "1600"]);
    assert!(said.contains("3200"), "{said}");
    fs::remove_dir_all(pictures).unwrap();
}

#[test]
fn masks_of_pictures_that_keep_their_proportions_weigh_them() {
    let cli = Cli::new();
    fs::create_dir(cli.path("pictures")).unwrap();
    slope(&cli, "pictures/a.png", 160, 90);
    slope(&cli, "pictures/b.png", 90, 160);
    let (_, plain) = losses(&cli, "plain", &["--crop", "none"]);
    for (white, folder) in [(255, "whole"), (128, "half")] {
        let mask = image::GrayImage::from_pixel(160, 90, image::Luma([white]));
        mask.save(cli.path("pictures/a.mask.png")).unwrap();
        let mask = image::GrayImage::from_pixel(90, 160, image::Luma([white]));
        mask.save(cli.path("pictures/b.mask.png")).unwrap();
        let (_, masked) = losses(&cli, folder, &["--crop", "none", "--masked-loss"]);
        for (plain, masked) in plain.iter().zip(&masked).take(1) {
            let share = f64::from(white) / 255.0;
            assert!((plain.0 * share - masked.0).abs() < 1e-5, "{plain:?} {masked:?}");
            assert!((plain.1 * share - masked.1).abs() < 1e-5, "{plain:?} {masked:?}");
        }
    }
    let (_, unmasked) = losses(&cli, "unmasked", &["--crop", "none"]);
    assert_eq!(unmasked, plain, "masks that are not read are no pictures");
}

#[test]
fn masks_are_wanted_where_they_are_asked_for() {
    let cli = Cli::with_pictures_of("koala");
    assert!(refused(&cli, &["--masked-loss"]).contains("no picture has a mask"));
    let custom = ["--method", "custom-diffusion", "--class-prompt", "bear", "--masked-loss"];
    assert!(refused(&cli, &custom).contains("left out with custom-diffusion"));
}

#[test]
fn folders_of_kohya_count_by_their_numbers_and_what_is_hidden_or_unread_is_left_out() {
    let cli = Cli::new();
    for (folder, files) in [("10_mine", 0..2), ("5_others", 2..5)] {
        let from = cli.concept("koala", "all");
        fs::create_dir_all(cli.path("pictures").join(folder)).unwrap();
        for file in files {
            let name = format!("{file}.png");
            fs::copy(from.join(&name), cli.path("pictures").join(folder).join(name)).unwrap();
        }
    }
    fs::write(cli.path("pictures/10_mine/._0.png"), "left by macOS").unwrap();
    fs::write(cli.path("pictures/phone.HEIC"), "not read").unwrap();
    fs::create_dir(cli.path("pictures/more")).unwrap();
    fs::write(cli.path("pictures/5_others/scan.avif"), "not read").unwrap();
    let said = refused(&cli, &[]);
    assert!(said.contains("no png, jpg, webp, bmp, gif or tiff files"), "{said}");
    assert!(said.contains("; convert pictures such as `phone.HEIC` to png or jpg; "), "{said}");
    assert!(said.contains("; `kohya_folders` reads those in folders such as `10_mine`)"), "{said}");
    let (said, _) = losses(&cli, "kohya", &["--kohya-folders"]);
    assert!(said.contains("5 pictures, counted as 7, of 64 px"), "2 x 2 + 3: {said}");
    assert!(said.contains("left out   `phone.HEIC`, `scan.avif`:"), "{said}");
    let beside = "left out   `more`: only pictures in folders such as `10_mycat` are read";
    assert!(said.contains(beside), "{said}");
    let page = String::from_utf8(cli.read("kohya/report.html")).unwrap();
    assert_eq!(page.matches("alt=\"the concept\"").count(), 5);
    fs::remove_dir_all(cli.path("pictures/10_mine")).unwrap();
    fs::remove_dir_all(cli.path("pictures/5_others")).unwrap();
    assert!(refused(&cli, &["--kohya-folders"]).contains("no folders such as `10_mycat`"));
}

#[test]
fn a_picture_that_counts_twice_gives_the_bytes_of_one_that_is_there_twice() {
    let cli = Cli::new();
    let all = cli.concept("koala", "all");
    for (number, text) in
        ["{} on grass, grey", "{}, grey", "{}", "a {}", "{}, a, b"].iter().enumerate()
    {
        fs::write(all.join(format!("{number}.txt")), text).unwrap();
        let mask =
            image::GrayImage::from_fn(64, 64, |x, _| image::Luma([(x * number as u32) as u8]));
        mask.save(all.join(format!("{number}.mask.png"))).unwrap();
    }
    let copy = |number: usize, to: String| {
        fs::create_dir_all(cli.path(&to).parent().unwrap()).unwrap();
        for ending in ["png", "txt", "mask.png"] {
            let from = all.join(format!("{number}.{ending}"));
            fs::copy(from, cli.path(&format!("{to}.{ending}"))).unwrap();
        }
    };
    for number in 0..5 {
        let folder = if number < 2 { "10_mine" } else { "5_others" };
        copy(number, format!("pictures/{folder}/{number}"));
    }
    for (place, number) in [0, 1, 0, 1, 2, 3, 4].into_iter().enumerate() {
        copy(number, format!("copies/{place}"));
    }
    let beside = ["--captions", "--shuffle-tags", "--masked-loss", "--eval-batch-size", "7"];
    for (run, more) in [("plain", &[][..]), ("beside", &beside[..])] {
        let copies = format!("{run}-of-copies");
        let (_, once) = losses(&cli, run, &[&["--kohya-folders"], more].concat());
        let (_, twice) = losses(&cli, &copies, &[&["--train-data-dir", "copies"], more].concat());
        assert_eq!(once, twice);
        // with the scores and the mark by which a run knows its pictures when it goes on
        assert_eq!(
            cli.json(&format!("{run}/result.json")),
            cli.json(&format!("{copies}/result.json"))
        );
    }
}

#[test]
fn the_learning_rate_follows_its_list() {
    let cli = Cli::with_pictures_of("koala");
    let train = |folder: &str, rates: &str| {
        let steps = ["-o", folder, "--max-train-steps", "4", "--num-samples", "1"];
        cli.train(&[&steps[..], &["--lr-schedule", rates]].concat())
    };
    train("run", "0.005:1, 1e-3:3, 1e-5").ok();
    let rates: Vec<f64> =
        cli.metrics("run").iter().map(|step| step["lr"].as_f64().unwrap()).collect();
    assert_eq!(rates, [0.005, 1e-3, 1e-3, 1e-5]);
    let short = train("short", "0.005:1, 1e-3:3");
    assert_eq!(short.code, Some(2));
    assert!(short.stderr.contains("as long as `max_train_steps`"), "{short:?}");
    assert_eq!(train("other", "fast").code, Some(2));
}
