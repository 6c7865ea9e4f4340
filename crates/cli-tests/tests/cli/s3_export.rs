//! `ddb-import FOLDER`: an export to S3 that was downloaded.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use cli_tests::s3_export::{S3Export, md5, packed};
use cli_tests::{Run, World, wait_for};
use serde_json::json;

use crate::bulk::{Ledger, line, lines, sorted, table, world};

/// Eight data files, one of them empty.
fn export() -> (S3Export, String) {
    let text = lines(1000);
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let mut files: Vec<String> = all.chunks(143).map(<[&str]>::concat).collect();
    files.insert(3, String::new());
    assert_eq!(files.len(), 8);
    (S3Export::full("AWSDynamoDB/", &files), text)
}

fn folder(world: &World, name: &str) -> PathBuf {
    world.folder().join(name)
}

fn import(world: &World, folder: &Path, arguments: &[&str]) -> Run {
    let folder = folder.to_str().expect("text");
    world.run("ddb-import", &[&[folder, "--output", "json"], arguments].concat())
}

#[test]
fn every_item_of_a_downloaded_export_is_in_the_table() {
    let world = world();
    let (export, text) = export();
    // The folder itself, and those above it as a bucket has them.
    let at = folder(&world, "bucket/AWSDynamoDB/01693685827463-2d8752fd");
    export.write(&at);
    for named in ["bucket/AWSDynamoDB/01693685827463-2d8752fd", "bucket/AWSDynamoDB", "bucket"] {
        world.run("ddb-schema-load", &["--table", "copy"]).succeeds();
        let run = import(&world, &folder(&world, named), &["--table", "copy"]).succeeds();
        assert_eq!(Ledger::of(&run).counts(), [1000, 0, 0]);
        run.says(
            "verified 8 data files with 1000 items: arn:aws:dynamodb:us-east-1:123456789012:table/cruddur-messages as of 2026-11-04T07:28:34.028Z\n",
        );
        assert_eq!(table(&world, "copy"), sorted(&text));
        world.run("ddb-drop", &["copy"]).succeeds();
    }
    // Keys with the bucket's prefix before them, and a summary from before there were
    // other kinds of export.
    let files = [line(1, "no line end at the end"), line(2, "a") + "\n"];
    let mut other = S3Export::full("backups/2026/AWSDynamoDB/", &files);
    other.summary.as_object_mut().expect("an object").remove("exportType");
    let at = folder(&world, "prefix");
    other.write(&at);
    assert_eq!(Ledger::of(&import(&world, &at, &[]).succeeds()).counts(), [2, 0, 0]);
    assert_eq!(table(&world, "cruddur-messages"), sorted(&files.join("\n")));
}

#[test]
fn an_empty_export_and_one_of_a_thousand_files() {
    let world = world();
    let at = folder(&world, "empty");
    S3Export::full("AWSDynamoDB/", &[""; 0]).write(&at);
    std::fs::remove_dir(at.join("data")).expect("it is empty");
    assert_eq!(Ledger::of(&import(&world, &at, &[]).succeeds()).counts(), [0, 0, 0]);
    let files: Vec<String> = (0..1000).map(|number| line(number, "a") + "\n").collect();
    let at = folder(&world, "many");
    S3Export::full("AWSDynamoDB/", &files).write(&at);
    assert_eq!(Ledger::of(&import(&world, &at, &[]).succeeds()).counts(), [1000, 0, 0]);
    assert_eq!(table(&world, "cruddur-messages"), sorted(&files.concat()));
}

/// Each thing wrong once: it is said, and nothing is written.
#[test]
fn an_export_that_is_not_whole_is_refused_before_anything_is_written() {
    let world = world();
    type Change = fn(&mut S3Export);
    type Damage = fn(&Path);
    let in_memory: [(&str, Change, &str); 8] = [
        (
            "flipped",
            |export| export.data[2].1[40] ^= 1,
            "00000000000000000000000002.json.gz: its MD5 is ",
        ),
        (
            "truncated",
            |export| export.data[1].1.truncate(100),
            "00000000000000000000000001.json.gz: its MD5 is ",
        ),
        (
            "count",
            |export| {
                export.entries[0]["itemCount"] = json!(142);
                export.entries[1]["itemCount"] = json!(144);
            },
            "00000000000000000000000000.json.gz: it has 143 items, and the manifest says 142\n",
        ),
        (
            "packed wrongly",
            |export| {
                export.data[0].1.truncate(100);
                export.entries[0]["md5Checksum"] = json!(md5(&export.data[0].1));
            },
            "00000000000000000000000000.json.gz: it does not unpack: ",
        ),
        (
            "sum",
            |export| export.summary["itemCount"] = json!(1001),
            "`manifest-files.json` has files of 1000 items, and `manifest-summary.json` says 1001",
        ),
        ("missing", |export| drop(export.data.remove(5)), "1 data file of 8 missing: `"),
        (
            "extra",
            |export| export.data.push(("stray.json.gz".to_owned(), packed(&line(1, "a")))),
            "that `manifest-files.json` does not name: `stray.json.gz`",
        ),
        (
            "twice",
            |export| {
                export.entries[3] = export.entries[2].clone();
                export.summary["itemCount"] = json!(1143);
            },
            "twice, or not at all",
        ),
    ];
    for (name, change, says) in in_memory {
        let (mut export, _) = export();
        change(&mut export);
        let at = folder(&world, name);
        export.write(&at);
        for arguments in [&[][..], &["--dry-run"], &["--checkpoint", "mark"]] {
            import(&world, &at, arguments)
                .ends_with(1)
                .prints_only("")
                .says(&format!(
                    "error: the export in `{}` is not whole; nothing is written",
                    at.display()
                ))
                .says(says)
                .says("hint: download the export again: `aws s3 sync`\n");
        }
    }
    let on_disk: [(&str, Damage, &str); 4] = [
        (
            "manifest",
            |at| {
                let file = at.join("manifest-files.json");
                let text = std::fs::read_to_string(&file).expect("a manifest");
                std::fs::write(&file, text.replacen("143", "134", 1)).expect("a manifest");
            },
            "the MD5 of `manifest-files.json` is ",
        ),
        (
            "summary",
            |at| std::fs::write(at.join("manifest-summary.md5"), "nonsense").expect("a checksum"),
            "manifest-summary.md5` says nonsense\n",
        ),
        (
            "no checksum",
            |at| std::fs::remove_file(at.join("manifest-files.checksum")).expect("a checksum"),
            "there is no checksum of `manifest-files.json`: neither `",
        ),
        (
            "no manifest",
            |at| std::fs::remove_file(at.join("manifest-files.json")).expect("a manifest"),
            "manifest-files.json`\n  cause: No such file or directory",
        ),
    ];
    for (name, change, says) in on_disk {
        let at = folder(&world, name);
        export().0.write(&at);
        change(&at);
        import(&world, &at, &[])
            .ends_with(1)
            .prints_only("")
            .says("download the export again")
            .says(says);
    }
    assert_eq!(table(&world, "cruddur-messages"), [""; 0]);
}

#[test]
fn what_is_no_full_export_as_json_is_refused_by_name() {
    let world = world();
    for (member, value, says) in [
        (
            "outputFormat",
            "ION",
            "is an export as ION\n  hint: export the table again with `--export-format DYNAMODB_JSON`\n",
        ),
        (
            "exportType",
            "INCREMENTAL_EXPORT",
            "is an incremental export: it has changes, and not items\n",
        ),
    ] {
        let (mut export, _) = export();
        export.summary[member] = json!(value);
        let at = folder(&world, member);
        export.write(&at);
        import(&world, &at, &[]).ends_with(1).prints_only("").says(says);
    }
    let none = folder(&world, "none");
    std::fs::create_dir(&none).expect("a folder");
    import(&world, &none, &[]).ends_with(1).says(&format!(
        "error: `{}` is a folder without an export of DynamoDB\n  cause: there is no `manifest-summary.json` in it\n",
        none.display()
    ));
    let two = folder(&world, "two");
    for name in ["a", "b"] {
        export().0.write(&two.join(name));
    }
    import(&world, &two, &[])
        .ends_with(1)
        .says(&format!("error: `{}` has 2 exports\n", two.display()))
        .says(&format!("hint: name one: `{0}/a`, `{0}/b`\n", two.display()));
    import(&world, &two.join("a"), &["--format", "csv"])
        .ends_with(2)
        .says("an export has its items as dynamodb-json");
    let file = world.file("items.json", lines(1));
    import(&world, Path::new(&file), &["--part", "1/2"])
        .ends_with(2)
        .says("--part takes a share of an export's data files");
    import(&world, &two.join("a"), &["--part", "3/2"])
        .ends_with(2)
        .says("the first of four shares");
}

#[test]
fn machines_that_share_an_export_write_all_of_it() {
    let world = world();
    let (export, text) = export();
    let at = folder(&world, "export");
    export.write(&at);
    // Nobody has to have the others' files.
    std::fs::remove_file(at.join("data").join(&export.data[7].0)).expect("a file");
    let mut written = 0;
    for part in ["1/3", "3/3"] {
        let run = import(&world, &at, &["--part", part]).succeeds();
        written += Ledger::of(&run).written;
    }
    import(&world, &at, &["--part", "2/3"]).ends_with(1).says("1 data file of 3 missing");
    export.write(&at);
    let run = import(&world, &at, &["--part", "2/3"]).succeeds();
    let run = run.says("verified 3 data files of 8 with ");
    assert_eq!(written + Ledger::of(&run).written, 1000);
    assert_eq!(table(&world, "cruddur-messages"), sorted(&text));
}

#[test]
fn a_dry_run_verifies_all_and_writes_nothing() {
    let world = world();
    let at = folder(&world, "export");
    export().0.write(&at);
    let run = import(&world, &at, &["--dry-run"]).succeeds();
    assert_eq!(run.json()["read"], 1000);
    run.says("verified 8 data files with 1000 items").says("nothing is written (--dry-run)");
    assert_eq!(table(&world, "cruddur-messages"), [""; 0]);
}

/// A bad line is named by its data file, and the line in it.
#[test]
fn a_bad_line_stands_in_its_file() {
    let world = world();
    let bad = "{\"Item\":{\"pk\":{\"S\":\"a\"}}}";
    let files = [lines(10), format!("{}\n{bad}\n{}\n", line(50, "a"), line(51, "a"))];
    let at = folder(&world, "export");
    S3Export::full("AWSDynamoDB/", &files).write(&at);
    let second = at.join("data/00000000000000000000000001.json.gz");
    let run = import(&world, &at, &[]);
    let run = run.says(&format!("error: {}:2: ", second.display()));
    assert_eq!(Ledger::of(&run).written, 11);
    let rejects = world.folder().join("bad.json");
    let run = import(&world, &at, &["--rejects", rejects.to_str().expect("text")]).ends_with(3);
    run.says(&format!("{}:2: ", second.display()));
    assert_eq!(std::fs::read_to_string(&rejects).expect("rejects"), format!("{bad}\n"));
}

/// Killed anywhere, the same command goes on, and in the end the table has all of it.
#[test]
fn a_killed_import_of_an_export_goes_on() {
    let world = world();
    let text = lines(20_000);
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let files: Vec<String> = all.chunks(1700).map(<[&str]>::concat).collect();
    let at = folder(&world, "export");
    let mut export = S3Export::full("AWSDynamoDB/", &files);
    export.write(&at);
    let mark = world.folder().join("mark");
    let folder = at.to_str().expect("text");
    let arguments = [folder, "--checkpoint", mark.to_str().expect("text"), "--concurrency", "2"];
    let offset = || {
        let saved = std::fs::read_to_string(&mark).unwrap_or_default();
        let saved: serde_json::Value = serde_json::from_str(&saved).unwrap_or_default();
        saved["line"].as_u64().unwrap_or(0)
    };
    for past in [1, 3000, 9000] {
        let mut command = world.tool("ddb-import", &arguments);
        let mut running =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawn");
        wait_for("a mark", || offset() > past || running.try_wait().expect("wait").is_some());
        running.kill().expect("kill");
        running.wait().expect("wait");
    }
    let reached = offset();
    assert!(reached > 9000, "{reached}");
    let run = world.run("ddb-import", &[&arguments[..], &["--output", "json"]].concat()).succeeds();
    let ledger = Ledger::of(&run);
    assert_eq!((ledger.counts(), ledger.resumed_at), ([20_000, 0, 0], reached + 1));
    assert_eq!(table(&world, "cruddur-messages"), sorted(&text));
    world.run("ddb-import", &arguments).succeeds().says("nothing to do: the checkpoint says that");
    // Another export is not gone on with, though as whole as this one.
    let (first, second) = (export.data[0].1.clone(), export.data[1].1.clone());
    (export.data[0].1, export.data[1].1) = (second, first);
    export.entries.iter_mut().zip(&export.data).for_each(|(entry, (_, bytes))| {
        entry["md5Checksum"] = json!(md5(bytes));
    });
    export.write(&at);
    world
        .run("ddb-import", &arguments)
        .ends_with(1)
        .says("is of another input: its first 20000 lines");
}
