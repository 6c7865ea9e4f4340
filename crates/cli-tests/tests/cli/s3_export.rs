//! `ddb-import FOLDER`: an export to S3 that was downloaded.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use cli_tests::s3_export::{S3Export, md5, packed};
use cli_tests::{Run, World, wait_for};
use serde_json::json;

use crate::bulk::{Ledger, line, lines, sorted, table, world};
use crate::terminal::at_terminal;

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
        (
            "missing",
            |export| drop(export.data.remove(5)),
            "1 data file of 8 missing, or not a file: `",
        ),
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
            "data/00000000000000000000000002.json.gz` twice",
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
                .says("  hint: ");
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
        import(&world, &at, &[]).ends_with(1).prints_only("").says(says).says("download");
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
            "is an export as ION\n  hint: export the table again as DYNAMODB_JSON, as `ddb-export prod --to` does\n",
        ),
        (
            "exportType",
            "SOMETHING_ELSE",
            "is an export of the unknown type SOMETHING_ELSE
",
        ),
        (
            "exportType",
            "INCREMENTAL_EXPORT",
            "have the view (none), without the new items
  hint: export them again with the view NEW_IMAGE
",
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
    import(&world, &at, &["--part", "2/3"])
        .ends_with(1)
        .says("1 data file of 3 missing, or not a file");
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

/// Counts that no number can hold are wrong like others; no bytes at all are no items; and
/// what a file manager leaves in the folder is nobody's.
#[test]
fn odd_manifests_and_files() {
    let world = world();
    let (mut export, _) = export();
    for entry in &mut export.entries {
        entry["itemCount"] = json!(u64::MAX);
    }
    let at = folder(&world, "huge");
    export.write(&at);
    import(&world, &at, &[]).ends_with(1).says("has files of 147573952589676412920 items");
    export.entries[2] = json!({"itemCount": -1, "md5Checksum": "", "dataFileS3Key": "a"});
    export.write(&at);
    import(&world, &at, &[])
        .ends_with(1)
        .says("manifest-files.json` is no manifest of an export\n  cause: line 3, column ");
    let mut nothing = S3Export::full("AWSDynamoDB/", &[lines(3), String::new()]);
    nothing.data[1].1.clear();
    nothing.entries[1]["md5Checksum"] = json!(md5(b""));
    let at = folder(&world, "nothing");
    nothing.write(&at);
    std::fs::write(at.join("data/.DS_Store"), "x").expect("a file");
    assert_eq!(Ledger::of(&import(&world, &at, &[]).succeeds()).counts(), [3, 0, 0]);
    import(&world, &at.join("data"), &[])
        .ends_with(1)
        .says(&format!("hint: name the export's folder: `{}`\n", at.display()));
    import(&world, &at.join("manifest-summary.json"), &[])
        .ends_with(2)
        .says("is a manifest of an export\n  hint: name its folder\n");
    import(&world, &at.join("gone"), &[]).ends_with(1).says("error: there is no `");
    let inside = at.join("data/mark");
    for option in ["--checkpoint", "--rejects"] {
        import(&world, &at, &[option, inside.to_str().expect("text")])
            .ends_with(2)
            .says(&format!("error: {option} is in the folder of the export's data files\n"));
    }
}

/// Ctrl-C at the question that follows the verification ends the import, unwritten.
#[test]
fn ctrl_c_at_the_question_after_the_verification() {
    let world = world();
    let at = folder(&world, "export");
    export().0.write(&at);
    let mut session =
        at_terminal(world.prod_tool("ddb-import", &[at.to_str().expect("text"), "prod"]));
    session.exp_string("verified 8 data files").expect("the verification");
    session.exp_string("[y/N]").expect("the question");
    session.send_control('c').expect("interrupt");
    session.exp_eof().expect("the end");
    assert_eq!(table(&world, "cruddur-messages"), [""; 0]);
}

/// A download that still runs changes files that are verified already.
#[test]
fn a_data_file_that_changes_after_it_was_verified_ends_the_import() {
    let world = world();
    // More than is read ahead.
    let text = lines(30_000);
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let files: Vec<String> = all.chunks(750).map(<[&str]>::concat).collect();
    let at = folder(&world, "export");
    let export = S3Export::full("AWSDynamoDB/", &files);
    export.write(&at);
    let said = world.folder().join("said");
    let mut command = world.tool("ddb-import", &[at.to_str().expect("text"), "--max-wcu", "5000"]);
    command.stderr(std::fs::File::create(&said).expect("a file")).stdout(Stdio::null());
    let mut running = command.spawn().expect("spawn");
    let read = || std::fs::read_to_string(&said).expect("text");
    wait_for("the verification", || read().contains("verified 40 data files"));
    // As good as the one that was there, and not it.
    std::fs::write(at.join("data").join(&export.data[39].0), &export.data[1].1).expect("a file");
    let status = running.wait().expect("wait");
    let said = read();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("039.json.gz` changed after it was verified\n"), "{said}");
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

/// A change of the item of this number: its new text, or none where it is deleted.
fn change(number: usize, at: u64, text: Option<&str>) -> String {
    let item = line(number, text.unwrap_or_default());
    let item = item.strip_prefix(r#"{"Item":"#).and_then(|rest| rest.strip_suffix('}'));
    let item = item.expect("an item");
    let (key, _) = item.split_once(r#","text""#).expect("a text");
    let image = text.map_or(String::new(), |_| format!(r#","NewImage":{item}"#));
    format!(r#"{{"Metadata":{{"WriteTimestampMicros":{{"N":"{at}"}}}},"Keys":{key}}}{image}}}"#)
        + "\n"
}

/// A full export and its increments make a copy that follows.
#[test]
fn the_changes_of_an_incremental_export_are_applied() {
    let world = world();
    let bucket = folder(&world, "bucket/AWSDynamoDB");
    let full = bucket.join("01693685827463-2d8752fd");
    S3Export::full("AWSDynamoDB/", &[lines(100)]).write(&full);
    import(&world, &full, &[]).succeeds();
    // Changed, deleted, made; one that is gone already is deleted again.
    let files = [
        change(1, 5, Some("changed")) + &change(2, 6, None),
        change(200, 7, Some("new")) + &change(999, 8, None),
    ];
    let increment = bucket.join("01693685934212-ac809da5");
    S3Export::incremental(&files).write(&increment);
    for _ in 0..2 {
        let run = import(&world, &increment, &[]).succeeds();
        assert_eq!(Ledger::of(&run).counts(), [4, 0, 0]);
        run.says("verified 2 data files with 4 changes: arn:aws:dynamodb:us-east-1:123456789012:table/cruddur-messages from 2026-11-04T07:00:00Z to 2026-11-05T07:00:00Z\n");
        let mut expected: Vec<String> = (0..100)
            .filter(|n| *n != 2)
            .map(|n| line(n, if n == 1 { "changed" } else { "the heron" }))
            .collect();
        expected.push(line(200, "new"));
        assert_eq!(table(&world, "cruddur-messages"), sorted(&expected.join("\n")));
    }
    // Data files that were downloaded with the manifests, in one folder.
    let moved = folder(&world, "moved");
    std::fs::create_dir(&moved).expect("a folder");
    for entry in std::fs::read_dir(&increment).expect("a folder").flatten() {
        std::fs::copy(entry.path(), moved.join(entry.file_name())).expect("a copy");
    }
    std::fs::rename(bucket.join("data"), moved.join("data")).expect("a folder");
    import(&world, &moved, &["--dry-run"]).succeeds();
    import(&world, &increment, &[]).ends_with(1).says("are not there\n  cause: incremental exports have them in `data`, beside the export's folder\n");
    import(&world, &moved, &["--part", "1/2"]).ends_with(2).says("--part is for full exports");
}

/// Where a key comes twice, the change that was later counts, wherever it stands.
#[test]
fn the_last_change_of_a_key_is_what_it_has() {
    let world = world();
    let mut files: Vec<String> = (0..20)
        .map(|file| {
            let text = format!("change {file}");
            // The last one of key 1 is in the third file, and of key 2 a deletion in the first.
            let at = if file == 2 { 1000 } else { 100 + file };
            let deleted = if file == 0 { None } else { Some(&*text) };
            let second = if file == 0 { 2000 } else { 100 + file };
            change(1, at, Some(&text))
                + &change(2, second, deleted)
                + &change(3 + file as usize, at, Some(&text))
        })
        .collect();
    let at = folder(&world, "bucket/increment");
    let export = S3Export::incremental(&files);
    export.write(&at);
    let run = import(&world, &at, &[]).succeeds();
    assert_eq!(Ledger::of(&run).counts(), [60, 0, 0]);
    let mut expected = vec![line(1, "change 2")];
    expected.extend((0..20).map(|file| line(3 + file, &format!("change {file}"))));
    assert_eq!(table(&world, "cruddur-messages"), sorted(&expected.join("\n")));
    // What is no change is a bad line.
    for (bad, says) in [
        (line(5, "an item") + "\n", "no change of an incremental export: missing field `Metadata`"),
        (
            change(5, 1, Some("a"))
                .replace(r#""Keys":{"pk":{"S":"MSG#0"}"#, r#""Keys":{"pk":{"S":"MSG#7"}"#),
            "the new image has another key than the change",
        ),
        (
            change(5, 1, None).replace(r#"{"N":"1"}"#, r#"{"N":"soon"}"#),
            "`soon` is no WriteTimestampMicros",
        ),
        (change(5, 1, None).replace(r#""sk""#, r#""other""#), "the key attribute `sk` is missing"),
    ] {
        files.truncate(1);
        files.push(bad);
        let at = folder(&world, "bad/increment");
        S3Export::incremental(&files).write(&at);
        import(&world, &at, &["--dry-run"]).ends_with(1).says(":1: ").says(says);
    }
}
