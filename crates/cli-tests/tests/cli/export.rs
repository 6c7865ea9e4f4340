//! `ddb-export`: formats, files, shares, checkpoints, limits.

use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{Run, World, wait_for};
use serde_json::json;

use crate::bulk::{Holding, lines, mode, named, sorted, table, world};

fn filled(count: usize) -> World {
    let world = world();
    let file = world.file("items.json", lines(count));
    world.run("ddb-import", &[&file]).succeeds();
    world
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.folder().join(name)).expect("a file")
}

/// A server whose pages are small.
pub(crate) fn small_pages(world: &World, items: usize) -> Proxy {
    Proxy::start(&world.endpoint(), move |_, request| match request.operation.as_str() {
        "Scan" => {
            let mut body = request.body.clone();
            body["Limit"] = json!(items);
            Answer::Instead { body, add: json!({}) }
        }
        _ => Answer::Forward,
    })
}

#[test]
fn a_dump_has_every_item_once() {
    let world = filled(1000);
    let run = world.run("ddb-export", &[]).succeeds().says("1000 items written; ");
    assert_eq!(sorted(&run.stdout), sorted(&lines(1000)));
    let proxy = small_pages(&world, 7);
    for segments in ["1", "3", "16"] {
        let arguments = ["--segments", segments, "--endpoint-url", &proxy.url()];
        let run = world.run("ddb-export", &arguments).succeeds();
        assert_eq!(sorted(&run.stdout), sorted(&lines(1000)), "{segments}");
    }
    world.run("ddb-export", &["--segments", "0"]).ends_with(2);
}

#[test]
fn shares_are_the_table() {
    let world = filled(500);
    let mut all = String::new();
    for share in ["1/3", "2/3", "3/3"] {
        let run = world.run("ddb-export", &["--segment", share, "--segments", "2"]).succeeds();
        assert!(run.stdout.lines().count() >= 50, "{share}: {run}");
        all += &run.stdout;
    }
    assert_eq!(sorted(&all), sorted(&lines(500)));
    for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
        let run = world.run("ddb-export", &["--segment", wrong]).ends_with(2);
        run.says("the first of four shares is `1/4`, the last `4/4`");
    }
}

#[test]
fn a_file_has_its_name_once_it_is_whole() {
    let world = filled(300);
    world
        .run("ddb-export", &["--out", "dump.json"])
        .succeeds()
        .prints_only("")
        .says("300 items written");
    assert_eq!(sorted(&read(&world, "dump.json")), sorted(&lines(300)));
    assert!(!world.folder().join("dump.json.part").exists());
    // An earlier dump may be the only copy of what was.
    world
        .run("ddb-export", &["--out", "dump.json"])
        .ends_with(1)
        .says("error: `dump.json` already exists")
        .says("name another file with --out");

    let broken = Proxy::start(&world.endpoint(), |number, request| {
        if request.operation == "Scan" && number > 4 {
            let body = json!({"__type": "x#AccessDeniedException", "message": "no"});
            return Answer::Reply { status: 400, body };
        }
        let mut body = request.body.clone();
        if request.operation == "Scan" {
            body["Limit"] = json!(10);
        }
        Answer::Instead { body, add: json!({}) }
    });
    world
        .run("ddb-export", &["--out", "broken.json", "--endpoint-url", &broken.url()])
        .ends_with(1)
        .says("error: cannot scan the table `cruddur-messages`")
        .says("hint: none of ");
    assert!(!world.folder().join("broken.json").exists());
    assert!(!world.folder().join("broken.json.part").exists());
}

#[test]
fn packed_and_compared() {
    let world = filled(200);
    world.run("ddb-export", &["--out", "dump.json.gz"]).succeeds();
    let file = world.folder().join("dump.json.gz");
    let out = Command::new("gzip").args(["-dc"]).arg(&file).output().expect("gzip runs");
    assert!(out.status.success());
    assert_eq!(sorted(&String::from_utf8(out.stdout).expect("UTF-8")), sorted(&lines(200)));
    // With a checkpoint it is many members, which are one file.
    world.run("ddb-export", &["--out", "many.json.gz", "--checkpoint", "mark"]).succeeds();
    world.run("ddb-schema-load", &["--table", "copy"]).succeeds();
    let many = world.folder().join("many.json.gz").display().to_string();
    world.run("ddb-import", &[&many, "--table", "copy"]).succeeds().says("200 written");
    assert_eq!(table(&world, "copy"), sorted(&lines(200)));
}

#[test]
fn out_of_one_table_into_another() {
    let world = filled(700);
    world.run("ddb-schema-load", &["--table", "copy"]).succeeds();
    let tool = |name| cli_tests::binary(name).display().to_string();
    let script = format!(
        "set -o pipefail; '{}' --out - | '{}' - --table copy",
        tool("ddb-export"),
        tool("ddb-import")
    );
    let mut command = world.command("bash");
    command.args(["-c", &script]);
    Run::of(command).succeeds().says("700 items written; ").says("700 lines read: 700 written, ");
    assert_eq!(table(&world, "copy"), table(&world, "cruddur-messages"));
}

#[test]
fn an_empty_table() {
    let world = world();
    world.run("ddb-export", &[]).succeeds().prints_only("").says("0 items written; ");
    world.run("ddb-export", &["--count"]).succeeds().prints_only("0\n");
    let arguments = ["--out", "none.json.gz", "--checkpoint", "mark"];
    world.run("ddb-export", &arguments).succeeds();
    world.run("ddb-export", &arguments).succeeds().says("nothing to do");
    let file = world.folder().join("none.json.gz").display().to_string();
    world.run("ddb-import", &[&file]).succeeds().says("0 lines read");
}

#[test]
fn plain_json_and_csv() {
    let world = world();
    let item = r#"{"Item":{"list":{"L":[{"N":"1.5"},{"NULL":true}]},"n":{"N":"7"},"pk":{"S":"a"},"set":{"SS":["y","x"]},"sk":{"S":"b, \"c\""}}}"#;
    let file = world.file("items.json", item);
    world.run("ddb-import", &[&file]).succeeds();
    world
        .run("ddb-export", &["--format", "jsonl"])
        .succeeds()
        .prints_only("{\"list\":[1.5,null],\"n\":7,\"pk\":\"a\",\"set\":[\"x\",\"y\"],\"sk\":\"b, \\\"c\\\"\"}\n");
    world
        .run("ddb-export", &["--format", "csv", "--select", "sk,n,list,pk,set,none"])
        .succeeds()
        .prints_only("sk,n,list,pk,set,none\n\"b, \"\"c\"\"\",7,\"[1.5,null]\",a,\"[\"\"x\"\",\"\"y\"\"]\",\n");
    world
        .run("ddb-export", &["--format", "csv", "--select", "pk,sk"])
        .succeeds()
        .prints_only("pk,sk\na,\"b, \"\"c\"\"\"\n");
    world
        .run("ddb-export", &["--format", "csv"])
        .ends_with(2)
        .says("name the attributes with --select");
    world
        .run("ddb-export", &["--select", "n,pk"])
        .succeeds()
        .prints_only("{\"Item\":{\"n\":{\"N\":\"7\"},\"pk\":{\"S\":\"a\"}}}\n");
    // A name that would lose types without a word.
    world
        .run("ddb-export", &["--out", "items.jsonl"])
        .ends_with(2)
        .says("the name `items.jsonl` says jsonl, and the format is dynamodb-json")
        .says("--format jsonl is for reading, --format dynamodb-json loses nothing");
    world.run("ddb-export", &["--out", "items.jsonl", "--format", "dynamodb-json"]).succeeds();
    assert!(read(&world, "items.jsonl").contains(r#"{"SS":["x","y"]}"#));
}

#[test]
fn a_filter_a_count_and_a_consistent_read() {
    let world = filled(120);
    let filter = [
        "--filter",
        "#p = :p",
        "--names",
        r##"{"#p":"pk"}"##,
        "--values",
        r#"{":p":{"S":"MSG#1"}}"#,
    ];
    let run = world.run("ddb-export", &filter).succeeds().says("50 items written of 120 read; ");
    assert!(run.stdout.lines().all(|line| line.contains("MSG#1")), "{run}");
    let arguments = [&filter[..], &["--count"]].concat();
    world.run("ddb-export", &arguments).succeeds().prints_only("50\n").says("50 of 120 items; ");
    world.run("ddb-export", &["--count", "--out", "x"]).ends_with(2);
    let proxy = Proxy::start(&world.endpoint(), |_, _| Answer::Forward);
    world.run("ddb-export", &["--consistent", "--endpoint-url", &proxy.url()]).succeeds();
    let scans: Vec<_> = proxy.requests().into_iter().filter(|r| r.operation == "Scan").collect();
    assert!(scans.iter().all(|scan| scan.body["ConsistentRead"] == true), "{scans:?}");
}

#[test]
fn max_rcu_asks_for_less_at_a_time() {
    let world = filled(400);
    let proxy = Proxy::start(&world.endpoint(), |_, _| Answer::Forward);
    let start = std::time::Instant::now();
    // 400 items of some 70 bytes are seven units in one page, more in small ones.
    let arguments = ["--max-rcu", "4", "--segments", "1", "--endpoint-url", &proxy.url()];
    let run = world.run("ddb-export", &arguments).succeeds();
    assert_eq!(sorted(&run.stdout), sorted(&lines(400)));
    assert!(start.elapsed().as_secs_f64() > 0.5, "{:?}", start.elapsed());
    let scans = proxy.requests().into_iter().filter(|request| request.operation == "Scan");
    let limits: Vec<_> = scans.map(|scan| scan.body["Limit"].as_u64().expect("a limit")).collect();
    assert!(limits.len() > 2 && limits.iter().all(|limit| *limit < 400), "{limits:?}");

    world.run_prod("ddb-export", &["prod", "--count"]).succeeds().says(
        "limit: 2.5 read units a second, half of what the table has (--max-rcu N sets another)",
    );
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let world = filled(3000);
    let tool = cli_tests::binary("ddb-export").display().to_string();
    let mut command = world.command("bash");
    command.args(["-c", &format!("set -o pipefail; '{tool}' | head -1")]);
    let run = Run::of(command).succeeds();
    assert_eq!(run.stdout.lines().count(), 1);
    run.does_not_say("error");
}

#[test]
fn a_disk_that_is_full_and_places_that_are_none() {
    let world = filled(2000);
    world
        .run("ddb-export", &["--out", "/dev/full"])
        .ends_with(1)
        .says("error: cannot write to `/dev/full`")
        .says("No space left on device")
        .says("hint: make room");
    world.run("ddb-export", &["--out", "/dev/null"]).succeeds();
    world
        .run("ddb-export", &["--out", "no/such/folder.json"])
        .ends_with(1)
        .says("error: cannot write to `no/such/folder.json`")
        .says("hint: make the folder first");
    world.run("ddb-export", &["--checkpoint", "mark"]).ends_with(2).says("name a file with --out");
    // Two runs into one file.
    let held = world.folder().join("held.json.part");
    let file = std::fs::File::create(held).expect("create");
    file.lock().expect("lock");
    world
        .run("ddb-export", &["--out", "held.json"])
        .ends_with(1)
        .says(&format!("error: `held.json.part` is in use by {}", named(std::process::id())));
}

#[test]
fn a_checkpoint_is_of_one_dump() {
    let world = filled(300);
    let call = |arguments: &[&str]| {
        world.run("ddb-export", &[&["--checkpoint", "mark"], arguments].concat())
    };
    call(&["--out", "dump.json"]).succeeds().says("300 items written");
    call(&["--out", "dump.json"]).succeeds().says("nothing to do: ").says("300 items written");
    for other in [
        &["--out", "other.json"][..],
        &["--out", "dump.json", "--segments", "2"],
        &["--out", "dump.json", "--select", "pk"],
        &["--out", "dump.json", "--filter", "attribute_exists(pk)"],
    ] {
        call(other)
            .ends_with(1)
            .says("error: the checkpoint `mark` is of another dump: ")
            .says("or name another file with --checkpoint to start again");
    }
    world.run("ddb-schema-load", &["--table", "other"]).succeeds();
    call(&["--out", "dump.json", "--table", "other"]).ends_with(1).says("is of the table `arn:");
    let file = world.file("items.json", lines(3));
    world
        .run("ddb-import", &[&file, "--checkpoint", "mark"])
        .ends_with(1)
        .says("`mark` is not a checkpoint of this tool");
}

#[test]
fn interrupted_it_keeps_what_it_has() {
    let world = filled(500);
    // The second half never comes.
    let proxy =
        Proxy::start(&world.endpoint(), |number, request| match request.operation.as_str() {
            "Scan" if number > 10 => Answer::Ignore,
            "Scan" => {
                let mut body = request.body.clone();
                body["Limit"] = json!(10);
                Answer::Instead { body, add: json!({}) }
            }
            _ => Answer::Forward,
        });
    let arguments = ["--out", "dump.json", "--checkpoint", "mark", "--segments", "1"];
    let mut command =
        world.tool("ddb-export", &[&arguments[..], &["--endpoint-url", &proxy.url()]].concat());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("spawn");
    wait_for("the scan", || proxy.requests().len() > 11);
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("signal");
    let status = child.wait().expect("wait");
    let mut said = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut said).expect("read");
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("100 items are kept: rerun the same command to resume"), "{said}");
    assert!(!world.folder().join("dump.json").exists());
    // The same place: another endpoint would be another table.
    let run = world.run("ddb-export", &arguments).ends_with(1);
    run.says("the checkpoint `mark` is of the table");
    assert_eq!(read(&world, "dump.json.part").lines().count(), 100);
}

#[test]
fn what_is_not_the_dump_is_not_taken_for_it() {
    let world = filled(300);
    let call = || world.run("ddb-export", &["--out", "dump.json", "--checkpoint", "mark"]);
    world.file("dump.json", "mine");
    call().ends_with(1).says("`dump.json` already exists");
    std::fs::remove_file(world.folder().join("dump.json")).expect("remove");
    call().succeeds();
    call().succeeds().says("nothing to do");
    world.file("dump.json", "mine");
    call().ends_with(1).says("`dump.json` already exists");
    std::fs::remove_file(world.folder().join("dump.json")).expect("remove");
    call().ends_with(1).says("the checkpoint says that `dump.json` is whole, and it is gone");
    // What a killed run left may be all that there is.
    world.file("other.json.part", "half a dump");
    world
        .run("ddb-export", &["--out", "other.json"])
        .ends_with(1)
        .says("`other.json.part` already exists")
        .says("a run that was killed left it");
    assert_eq!(read(&world, "other.json.part"), "half a dump");
}

#[test]
fn a_name_that_no_item_has_is_named() {
    let world = filled(3);
    let run = world.run("ddb-export", &["--select", "pk,txet"]).succeeds();
    run.says("warning: no item that was written has an attribute `txet`").does_not_say("`pk`");
    let run = world.run("ddb-export", &["--filter", "pk = :p"]).ends_with(1);
    run.says("hint: look at --filter, --names, --values and --select")
        .does_not_say("a table's name");
}

#[test]
fn a_checkpoint_and_a_file_are_for_one_run_at_a_time() {
    let world = filled(100);
    let server = Holding::start(&world, "Scan");
    let url = server.url();
    let call = |checkpoint: &[&'static str]| {
        let arguments = ["--out", "dump.json", "--endpoint-url", &url];
        world.tool("ddb-export", &[&arguments[..], checkpoint].concat())
    };
    let first = server.hold(call(&["--checkpoint", "mark"]));
    Run::of(call(&["--checkpoint", "mark"]))
        .ends_with(1)
        .says(&format!("error: the checkpoint `mark` is in use by {}", first.named()));
    for checkpoint in [&["--checkpoint", "other"][..], &[]] {
        Run::of(call(checkpoint))
            .ends_with(1)
            .says(&format!("error: `dump.json.part` is in use by {}", first.named()))
            .says("name another file with --out");
    }
    assert!(!world.folder().join("other").exists(), "a checkpoint that holds nothing");
    drop(first);
    server.release();
    Run::of(call(&["--checkpoint", "mark"])).succeeds().says("100 items written");
    assert_eq!(sorted(&read(&world, "dump.json")), sorted(&lines(100)));
}

fn pipe(world: &World, name: &str) -> PathBuf {
    let path = world.folder().join(name);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    path
}

fn unpacked(world: &World, packed: &[u8]) -> String {
    let file = world.file("packed.gz", packed);
    let out = Command::new("gzip").arg("-dc").arg(file).output().expect("gzip runs");
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).expect("UTF-8")
}

#[test]
fn a_pipe_by_its_name() {
    let world = filled(3000);
    for name in ["pipe.json", "pipe.json.gz"] {
        let path = pipe(&world, name);
        let reader = thread::spawn(move || std::fs::read(path).expect("read"));
        world
            .run("ddb-export", &["--out", name])
            .succeeds()
            .prints_only("")
            .says("3000 items written");
        let read = reader.join().expect("a reader");
        let text = if name == "pipe.json" {
            String::from_utf8(read).expect("UTF-8")
        } else {
            unpacked(&world, &read)
        };
        assert_eq!(sorted(&text), sorted(&lines(3000)), "{name}");
    }
    world
        .run("ddb-export", &["--out", "pipe.json", "--checkpoint", "mark"])
        .ends_with(2)
        .says("--checkpoint cannot resume `pipe.json`, which is not a regular file");
    assert!(!world.folder().join("mark").exists());
    // A reader that has enough ends it as quietly as that of standard output.
    let path = pipe(&world, "closed.json");
    let reader = thread::spawn(move || {
        let mut some = [0; 10];
        std::fs::File::open(path).expect("open").read_exact(&mut some).expect("read");
    });
    world.run("ddb-export", &["--out", "closed.json"]).succeeds().does_not_say("error");
    reader.join().expect("a reader");
}

#[test]
fn standard_output_by_its_name() {
    let world = filled(200);
    let run = world.run("ddb-export", &["--out", "/dev/stdout"]).succeeds();
    assert_eq!(sorted(&run.stdout), sorted(&lines(200)));
    let tool = cli_tests::binary("ddb-export").display().to_string();
    let bash = |script: &str| {
        let mut command = world.command("bash");
        command.args(["-c", &format!("set -o pipefail; {}", script.replace("TOOL", &tool))]);
        Run::of(command).succeeds()
    };
    bash("'TOOL' --out /dev/stdout > redirected.json");
    assert_eq!(sorted(&read(&world, "redirected.json")), sorted(&lines(200)));
    symlink("/dev/stdout", world.folder().join("out.json.gz")).expect("link");
    let run = bash("'TOOL' --out out.json.gz | gzip -dc");
    assert_eq!(sorted(&run.stdout), sorted(&lines(200)));
    assert!(world.folder().join("out.json.gz").is_symlink());
    world
        .run("ddb-export", &["--out", "/dev/stdout", "--checkpoint", "mark"])
        .ends_with(2)
        .says("--checkpoint cannot resume standard output");
}

#[test]
fn a_dump_is_not_taken_for_a_temporary_file() {
    let world = filled(50);
    for name in ["d.tmp", ".d.tmp"] {
        world.run("ddb-export", &["--out", name, "--checkpoint", "d"]).succeeds();
        assert_eq!(sorted(&read(&world, name)), sorted(&lines(50)));
        assert!(read(&world, "d").contains("\"finished\": true"));
        std::fs::remove_file(world.folder().join("d")).expect("remove");
    }
    let at = |name: &str| world.folder().join(name);
    symlink("dump.json.part", at("soft")).expect("link");
    world.file("hard", "");
    std::fs::hard_link(at("hard"), at("other.json.part")).expect("link");
    for (out, checkpoint) in [
        ("dump.json", "dump.json.part"),
        ("dump.json", "soft"),
        ("dump.json", "./dump.json"),
        ("other.json", "hard"),
    ] {
        world
            .run("ddb-export", &["--out", out, "--checkpoint", checkpoint])
            .ends_with(2)
            .says("is named for --out and for --checkpoint");
    }
}

#[test]
fn a_file_aside_is_not_followed_anywhere() {
    let world = filled(50);
    let at = |name: &str| world.folder().join(name);
    world.file("precious", "");
    symlink("precious", at("dump.json.part")).expect("link");
    for checkpoint in [&["--checkpoint", "mark"][..], &[]] {
        world
            .run("ddb-export", &[&["--out", "dump.json"], checkpoint].concat())
            .ends_with(1)
            .says("error: `dump.json.part` is a symbolic link");
        assert_eq!(read(&world, "precious"), "");
        assert!(!at("dump.json").exists() && !at("mark").exists());
    }
    symlink("nowhere.json", at("link.json")).expect("link");
    world
        .run("ddb-export", &["--out", "link.json"])
        .ends_with(1)
        .says("error: `link.json` is a symbolic link");
    assert!(at("link.json").is_symlink() && !at("link.json.part").exists());
    // Who writes a file of that name while the dump runs keeps it.
    let mine = at("late.json");
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        if request.operation == "Scan" {
            std::fs::write(&mine, "mine").expect("write");
        }
        Answer::Forward
    });
    world
        .run("ddb-export", &["--out", "late.json", "--endpoint-url", &proxy.url()])
        .ends_with(1)
        .says("error: `late.json` already exists")
        .says("hint: the dump is whole, and stays `late.json.part`");
    assert_eq!(read(&world, "late.json"), "mine");
    assert_eq!(sorted(&read(&world, "late.json.part")), sorted(&lines(50)));
}

#[test]
fn a_dump_is_for_its_owner_alone() {
    let world = filled(3);
    world.run("ddb-export", &["--out", "dump.json", "--checkpoint", "mark"]).succeeds();
    world.run("ddb-export", &["--out", "dump.json.gz"]).succeeds();
    for name in ["dump.json", "dump.json.gz", "mark"] {
        assert_eq!(mode(&world, name), 0o600, "{name}");
    }
}

#[test]
fn a_hint_counts_what_the_checkpoint_has() {
    let world = filled(300);
    let tool = cli_tests::binary("ddb-export").display().to_string();
    // No file may be longer than 4 KiB: as on a disk that is full.
    let script = format!(
        "trap '' XFSZ; ulimit -f 4; exec '{tool}' --out dump.json --checkpoint mark --segments 1"
    );
    let mut command = world.command("bash");
    command.args(["-c", &script]);
    Run::of(command)
        .ends_with(1)
        .says("error: cannot write to `dump.json`")
        .says("File too large")
        .says("hint: nothing is kept: the same command starts again")
        .does_not_say("are kept");
    let mark: serde_json::Value = serde_json::from_str(&read(&world, "mark")).expect("JSON");
    assert_eq!([&mark["bytes"], &mark["counts"]["items"]], [0, 0], "{mark}");
    let arguments = ["--out", "dump.json", "--checkpoint", "mark", "--segments", "1"];
    world.run("ddb-export", &arguments).succeeds().says("300 items written");
    assert_eq!(sorted(&read(&world, "dump.json")), sorted(&lines(300)));
}

#[test]
fn a_csv_dump_that_was_killed_at_once_has_one_header() {
    let world = filled(100);
    let server = Holding::start(&world, "Scan");
    let url = server.url();
    let arguments = [
        "--out",
        "dump.csv",
        "--format",
        "csv",
        "--select",
        "pk,sk,text",
        "--checkpoint",
        "mark",
        "--endpoint-url",
        &url,
    ];
    drop(server.hold(world.tool("ddb-export", &arguments)));
    server.release();
    // What was written since the checkpoint was saved.
    world.file("dump.csv.part", "pk,sk,text\nMSG#0,00");
    world.run("ddb-export", &arguments).succeeds().says("100 items written");
    let dump = read(&world, "dump.csv");
    assert!(dump.starts_with("pk,sk,text\n"), "{dump}");
    assert_eq!(dump.matches("pk,sk,text").count(), 1, "{dump}");
    assert_eq!(dump.lines().count(), 101, "{dump}");
}

#[test]
fn a_spreadsheet_gets_no_formulas() {
    let world = world();
    let item = r#"{"Item":{"b":{"B":"+abc"},"cr":{"S":"\rx"},"eq":{"S":"=1+1"},"minus":{"S":"-1"},"n":{"N":"-5"},"pk":{"S":"@pk"},"plus":{"S":"+1"},"sk":{"S":"a=b"},"tab":{"S":"\tx"}}}"#;
    let file = world.file("items.json", item);
    world.run("ddb-import", &[&file]).succeeds();
    let arguments = ["--format", "csv", "--select", "pk,sk,n,eq,plus,minus,tab,cr,b"];
    let header = "pk,sk,n,eq,plus,minus,tab,cr,b\n";
    world
        .run("ddb-export", &arguments)
        .succeeds()
        .prints_only(&format!("{header}@pk,a=b,-5,=1+1,+1,-1,\tx,\"\rx\",+abc\n"));
    world
        .run("ddb-export", &[&arguments[..], &["--for-spreadsheet"]].concat())
        .succeeds()
        .prints_only(&format!("{header}'@pk,a=b,-5,'=1+1,'+1,'-1,'\tx,\"'\rx\",'+abc\n"));
    world
        .run("ddb-export", &["--for-spreadsheet"])
        .ends_with(2)
        .says("error: --for-spreadsheet is for csv only, and the format is dynamodb-json")
        .says("hint: add --format csv");
}
