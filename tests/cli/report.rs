//! The page of a run.

use crate::harness::Cli;

#[test]
fn a_run_leaves_a_page_that_needs_no_other_file_and_several_are_compared() {
    let cli = Cli::with_pictures_of("koala");
    for folder in ["one", "two"] {
        let said = cli.train(&["-o", folder, "--max-train-steps", "3", "--num-samples", "1"]).ok();
        assert!(said.contains(&format!("report     {folder}/report.html")), "{said}");
    }
    let page = String::from_utf8(cli.read("one/report.html")).unwrap();
    // five pictures, before and after, the curve
    assert_eq!(page.matches("src=\"data:image/").count(), 8);
    assert_eq!(
        page.matches("src=").count() + page.matches("href=").count(),
        8,
        "nothing else is loaded"
    );
    let learned =
        "The default model learned &lt;umb&gt; from `umbrella`; stopped after all 3 steps.";
    for told in ["\">&lt;umb&gt;</h1>", learned, "CLIP-I went from", "max_train_steps = 3"] {
        assert!(page.contains(told), "{told}");
    }
    let post = page.split("<pre>").nth(1).unwrap();
    assert!(post.contains("max_train_steps = 3") && !post.contains("train_data_dir"), "{post}");

    let written = cli.read("one/report.html");
    cli.run(&["report", "one"]).ok();
    assert_eq!(cli.read("one/report.html"), written, "the same bytes again");
    // as one that was killed on its way to another end leaves it
    let more = b"{\"step\":3,\"loss\":0.5}\n{\"step\":4,\"lo";
    let longer = [&*cli.read("one/metrics.jsonl"), more].concat();
    std::fs::write(cli.path("one/metrics.jsonl"), longer).unwrap();
    cli.run(&["report", "one"]).ok();
    assert_eq!(cli.read("one/report.html"), written, "of the end that it came to");
    cli.run(&["report", "one", "two", "-o", "both.html"]).ok();
    let both = String::from_utf8(cli.read("both.html")).unwrap();
    assert_eq!(both.matches("<tr>").count(), 3);
    for folder in ["one", "two"] {
        assert!(both.contains(&format!("\">{folder}</a>")), "{folder}");
        assert!(both.contains(&format!("\">{folder}: &lt;umb&gt;</h1>")), "{folder}");
    }
    let ran = cli.run(&["report", "one", "-o", "both.html"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("`both.html` exists already"), "{ran:?}");

    std::fs::remove_file(cli.path("two/result.json")).unwrap();
    let ran = cli.run(&["report", "two"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("has not ended yet"), "{ran:?}");
}
