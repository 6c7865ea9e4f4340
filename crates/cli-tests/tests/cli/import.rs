//! `ddb-import`: formats, bad input, the ledger, checkpoints, limits.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{Run, World, wait_for};
use serde_json::json;

use crate::bulk::{Holding, Ledger, line, lines, mode, sorted, table, world};

fn import(world: &World, input: &str, arguments: &[&str]) -> Run {
    world.run("ddb-import", &[&[input, "--output", "json"], arguments].concat())
}

fn gzip(world: &World, name: &str, content: &[u8]) -> String {
    let plain = world.file(name, content);
    let status = Command::new("gzip").arg(&plain).status().expect("gzip runs");
    assert!(status.success());
    format!("{plain}.gz")
}

#[test]
fn a_file_is_in_the_table_line_for_line() {
    let world = world();
    let text = lines(1234);
    let file = world.file("items.json", &text);
    let run = import(&world, &file, &[]).succeeds().says("target: local  endpoint ");
    let ledger = Ledger::of(&run);
    assert_eq!(ledger.counts(), [1234, 0, 0]);
    assert_eq!(ledger.resumed_at, 0);
    assert!((ledger.consumed_capacity - 1234.0).abs() < 0.5, "{ledger:?}");
    assert_eq!(table(&world, "cruddur-messages"), sorted(&text));
    // Once more changes nothing.
    assert_eq!(Ledger::of(&import(&world, &file, &[]).succeeds()).counts(), [1234, 0, 0]);
    assert_eq!(table(&world, "cruddur-messages"), sorted(&text));
    // Without --output json the ledger is for people, and stdout is empty.
    world
        .run("ddb-import", &[&file])
        .succeeds()
        .prints_only("")
        .says("1234 lines read: 1234 written, 0 rejected, 0 unreached; 1234 write units; ");
}

#[test]
fn formats_by_extension_and_by_name() {
    let world = world();
    let item = r#"{"Item":{"n":{"N":"12345678901234567890123456789012345678"},"pk":{"S":"a"},"sk":{"S":"b"},"t":{"BOOL":true}}}"#;
    let bare =
        item.strip_prefix(r#"{"Item":"#).and_then(|rest| rest.strip_suffix('}')).expect("item");
    let plain = r#"{"pk":"a","sk":"b","n":12345678901234567890123456789012345678,"t":true}"#;
    let csv = "pk,sk,n:N,t:BOOL,none\na,b,12345678901234567890123456789012345678,true,\n";
    let windows = csv.replace('\n', "\r\n");
    for (name, content) in [
        ("a.json", item),
        ("bare.json", bare),
        ("a.jsonl", plain),
        ("a.ndjson", plain),
        ("a.csv", csv),
        ("bom.csv", &format!("\u{feff}{csv}")),
        ("windows.csv", &windows),
        (
            "quoted.csv",
            "\"pk\",\"sk\",\"n:N\",t:BOOL\n\"a\",\"b\",\"12345678901234567890123456789012345678\",\"true\"",
        ),
    ] {
        let target = format!("t-{}", name.replace('.', "-"));
        world.run("ddb-schema-load", &["--table", &target]).succeeds();
        let file = world.file(name, content);
        let run = import(&world, &file, &["--table", &target]).succeeds();
        assert_eq!(Ledger::of(&run).counts(), [1, 0, 0], "{name}");
        assert_eq!(table(&world, &target), [item], "{name}");
    }
    let packed = gzip(&world, "packed.json", item.as_bytes());
    assert_eq!(Ledger::of(&import(&world, &packed, &[]).succeeds()).counts(), [1, 0, 0]);
    let nameless = world.file("items.txt", item);
    world
        .run("ddb-import", &[&nameless])
        .ends_with(2)
        .says("does not say which format it has")
        .says("hint: name it with --format: dynamodb-json, jsonl or csv");
    import(&world, &nameless, &["--format", "dynamodb-json"]).succeeds();
    // DynamoDB's JSON under the name of plain JSON.
    let wrong = world.file("wrong.jsonl", item);
    import(&world, &wrong, &[])
        .ends_with(1)
        .says("this looks like DynamoDB's JSON: --format dynamodb-json");
}

#[test]
fn rows_of_csv_may_have_line_breaks() {
    let world = world();
    let file = world
        .file("a.csv", "pk,sk,text\na,1,\"one\ntwo \"\"quoted\"\", with comma\"\na,2,\nb,1,x,y\n");
    let run =
        import(&world, &file, &[]).ends_with(1).says("a.csv:5: 4 fields, and the header has 3");
    assert_eq!(Ledger::of(&run).counts(), [2, 1, 0]);
    assert_eq!(
        table(&world, "cruddur-messages"),
        [
            r#"{"Item":{"pk":{"S":"a"},"sk":{"S":"1"},"text":{"S":"one\ntwo \"quoted\", with comma"}}}"#,
            r#"{"Item":{"pk":{"S":"a"},"sk":{"S":"2"}}}"#,
        ]
    );
    for (header, why) in [
        ("pk,text", "no column for the key attribute `sk`"),
        ("pk,sk,pk", "the column `pk` is there twice"),
        ("pk,sk,x:SS", "there are S, N, B and BOOL"),
    ] {
        let file = world.file("b.csv", header);
        world.run("ddb-import", &[&file]).ends_with(1).says("b.csv:1: ").says(why);
    }
}

#[test]
fn standard_input() {
    let world = world();
    let text = lines(60);
    let run =
        Run::with_input(world.tool("ddb-import", &["-", "--output", "json"]), &text).succeeds();
    assert_eq!(Ledger::of(&run).counts(), [60, 0, 0]);
    assert_eq!(table(&world, "cruddur-messages"), sorted(&text));
    let run = Run::with_input(world.tool("ddb-import", &["-"]), "{\n")
        .ends_with(1)
        .says("an item has one line, and a line one item");
    run.says("error: (standard input):1: column 1: EOF while parsing");
    world
        .run("ddb-import", &["-", "--checkpoint", "mark"])
        .ends_with(2)
        .prints_only("")
        .says("--checkpoint cannot resume from standard input");
}

#[test]
fn a_line_is_written_when_it_comes_and_not_when_the_pipe_ends() {
    let world = world();
    let mut command = world.tool("ddb-import", &["-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
    let mut pipe = child.stdin.take().expect("stdin");
    let second = line(2, "second");
    let (half, rest) = second.split_at(20);
    // In one write, so that the half line is there with the whole one.
    pipe.write_all(format!("{}\n{half}", line(1, "first")).as_bytes()).expect("write");
    wait_for("the first line", || table(&world, "cruddur-messages").len() == 1);
    writeln!(pipe, "{rest}").expect("write");
    drop(pipe);
    assert!(child.wait().expect("wait").success());
    assert_eq!(table(&world, "cruddur-messages").len(), 2);
}

#[test]
fn a_bad_line_has_its_place_and_ends_the_run() {
    let world = world();
    for (bad, why) in [
        ("{", "column 1: EOF while parsing"),
        ("nonsense", "column 2: expected ident"),
        (r#"{"Item":{"pk":{"S":"a"}}}"#, "the key attribute `sk` is missing"),
        (
            r#"{"Item":{"pk":{"N":"1"},"sk":{"S":"b"}}}"#,
            "the key attribute `pk` is N, and the table's is S",
        ),
        (r#"{"Item":{"pk":{"S":""},"sk":{"S":"b"}}}"#, "the key attribute `pk` is empty"),
        (r#"{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"S":"y","N":"1"}}}"#, "two types, S and N"),
        (
            r#"{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"SS":[]}}}"#,
            "`x`: a set without elements",
        ),
        (
            r#"{"Item":{"pk":{"S":"a"},"sk":{"S":"b"},"x":{"B":"*"}}}"#,
            "`x`: a binary that is not base64",
        ),
    ] {
        let name = "bad.json";
        let file =
            world.file(name, format!("{}\n\n{bad}\n{}\n", line(1, "good"), line(2, "after")));
        let run = import(&world, &file, &[]).ends_with(1);
        assert_eq!(Ledger::of(&run).counts(), [1, 1, 0], "{bad}");
        run.says(&format!("error: {file}:3: "))
            .says(why)
            .says("hint: collect such lines with --rejects FILE and fix them there, or fix the line (not in an export: it is verified)");
        assert_eq!(table(&world, "cruddur-messages"), [line(1, "good")]);
    }
}

#[test]
fn rejected_lines_are_kept_as_they_are() {
    let world = world();
    let invalid = b"{\"Item\":{\"pk\":{\"S\":\"\xff\"},\"sk\":{\"S\":\"b\"}}}";
    let huge = format!(
        r#"{{"Item":{{"pk":{{"S":"a"}},"sk":{{"S":"b"}},"x":{{"S":"{}"}}}}}}"#,
        "y".repeat(401 * 1024)
    );
    let mut content = Vec::new();
    for bad in [b"{".as_slice(), invalid, huge.as_bytes()] {
        content.extend_from_slice(bad);
        content.push(b'\n');
        content.extend_from_slice(line(content.len(), "good").as_bytes());
        content.push(b'\n');
    }
    let file = world.file("mixed.json", &content);
    let rejects = world.folder().join("rejects.json");
    let rejects_name = rejects.display().to_string();
    let run = import(&world, &file, &["--rejects", &rejects_name]).ends_with(3);
    assert_eq!(Ledger::of(&run).counts(), [3, 3, 0]);
    run.says(&format!("warning: {file}:1: column 1: EOF"))
        .says(&format!("warning: {file}:3: column 21: not UTF-8"))
        .says(&format!(
            "warning: {file}:5: the item has 410631 bytes, and at most 409600 are allowed"
        ))
        .says("error: 3 lines rejected; the rest is written")
        .says("rejects.json` and import that");
    let kept = std::fs::read(&rejects).expect("rejects");
    assert_eq!(kept, [b"{\n".as_slice(), invalid, b"\n", huge.as_bytes(), b"\n"].concat());
    // A file with other lines is not written over.
    import(&world, &file, &["--rejects", &rejects_name])
        .ends_with(1)
        .says("rejects.json` already exists, with other lines");
    assert_eq!(std::fs::read(&rejects).expect("rejects"), kept);
    // Without rejected lines none is left.
    let good = world.file("good.json", lines(3));
    import(&world, &good, &["--rejects", "none.json"]).succeeds();
    assert!(!world.folder().join("none.json").exists());
    // Rejected rows can be imported once they are fixed: they have their header.
    let csv = world.file("a.csv", "pk,sk,n:N\na,1,one\na,2,2\n");
    import(&world, &csv, &["--rejects", "bad.csv"])
        .ends_with(3)
        .says("a.csv:2: `n`: `one` is not a number");
    let kept = std::fs::read_to_string(world.folder().join("bad.csv")).expect("rejects");
    assert_eq!(kept, "pk,sk,n:N\na,1,one\n");
}

#[test]
fn a_line_of_a_hundred_megabytes_is_taken_in_pieces() {
    let world = world();
    let path = world.folder().join("long.json");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).expect("create"));
    let piece = [b'x'; 1 << 20];
    writeln!(out, "{}", line(1, "before")).expect("write");
    for _ in 0..100 {
        out.write_all(&piece).expect("write");
    }
    write!(out, "\n{}\n", line(2, "after")).expect("write");
    drop(out);
    let file = path.display().to_string();
    let why = "longer than 4 MiB, and an item has at most 400 KB";
    let run = import(&world, &file, &[]).ends_with(1).says(&format!("error: {file}:2: {why}"));
    assert_eq!(Ledger::of(&run).counts(), [1, 1, 0]);
    let dry = import(&world, &file, &["--dry-run"])
        .ends_with(1)
        .says(&format!("warning: {file}:2: {why}"));
    dry.says("3 lines read: 2 good, 1 bad");
    // Not in 60 MiB, were the line held.
    let script = format!(
        "ulimit -v 300000; exec '{}' '{file}' --rejects rejects.json --output json",
        cli_tests::binary("ddb-import").display()
    );
    let mut command = world.command("sh");
    let run = Run::of({
        command.args(["-c", &script]);
        command
    });
    let run = run.ends_with(3).says(&format!("warning: {file}:2: {why}"));
    assert_eq!(Ledger::of(&run).counts(), [2, 1, 0]);
    let kept = std::fs::metadata(world.folder().join("rejects.json")).expect("rejects").len();
    assert_eq!(kept, (100 << 20) + 1);
    assert_eq!(table(&world, "cruddur-messages").len(), 2);
}

#[test]
fn the_later_line_of_a_key_wins() {
    let world = world();
    let mut text = String::new();
    // Close by, and far apart.
    for number in [1, 1, 2, 1] {
        text += &(line(number, "old") + "\n");
    }
    text += &lines(3000);
    for number in [7, 7, 2999, 1] {
        text += &(line(number, "newest") + "\n");
    }
    let file = world.file("twice.json", &text);
    // A server that puts a third of each batch off.
    let proxy = Proxy::start(&world.endpoint(), |number, request| {
        crate::bulk_faults::put_off(request, |place| (place + number) % 3 == 0)
    });
    let run = import(&world, &file, &["--endpoint-url", &proxy.url()]).succeeds();
    assert_eq!(Ledger::of(&run).counts(), [3008, 0, 0]);
    let table = table(&world, "cruddur-messages");
    assert_eq!(table.len(), 3000);
    for number in [1, 7, 2999] {
        assert!(table.contains(&line(number, "newest")), "{number}");
    }
    for request in proxy.requests() {
        let puts = request.body["RequestItems"]["cruddur-messages"].as_array().map_or(0, Vec::len);
        assert!(puts <= 25, "{puts}");
    }
}

#[test]
fn inputs_that_cannot_be_read() {
    let world = world();
    let folder = world.folder().display().to_string();
    let missing = world.run("ddb-import", &["nowhere.json"]).ends_with(1).prints_only("");
    missing
        .says("error: cannot read `nowhere.json`")
        .says("No such file")
        .says("hint: name a file that is there, or `-` for standard input");
    let no_export = "is a folder without an export of DynamoDB";
    world.run("ddb-import", &[&folder, "--format", "csv"]).ends_with(1).says(no_export);
    let empty = world.file("empty.json", "");
    assert_eq!(Ledger::of(&import(&world, &empty, &[]).succeeds()).counts(), [0, 0, 0]);
    let no_gzip = world.file("plain.json.gz", lines(3));
    world.run("ddb-import", &[&no_gzip]).succeeds().says("3 written");
    world.run("ddb-drop", &["cruddur-messages"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();

    let text: String =
        (0..5000).map(|number| line(number * 7, &format!("n{number}")) + "\n").collect();
    let packed = gzip(&world, "cut.json", text.as_bytes());
    let bytes = std::fs::read(&packed).expect("packed");
    std::fs::write(&packed, &bytes[..bytes.len() / 2]).expect("cut");
    let run = import(&world, &packed, &[])
        .ends_with(1)
        .says("its gzip stream ends in the middle, in line ");
    let ledger = Ledger::of(&run);
    assert!(ledger.written > 500 && ledger.rejected == 0 && ledger.unreached == 0, "{ledger:?}");
    assert_eq!(table(&world, "cruddur-messages").len() as u64, ledger.written);
}

#[test]
fn a_file_that_may_not_be_read() {
    let world = world();
    let file = world.file("secret.json", lines(1));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o000))
        .expect("chmod");
    let mut command = world.tool("ddb-import", &[&file]);
    if nix::unistd::geteuid().is_root() {
        // Root may read everything; nobody may not, and cannot see our folders either.
        let open = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in("/tmp")
            .expect("folder");
        let tool = open.path().join("ddb-import");
        std::fs::copy(cli_tests::binary("ddb-import"), &tool).expect("copy");
        let secret = open.path().join("secret.json");
        std::fs::copy(&file, &secret).expect("copy");
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o000))
            .expect("chmod");
        command = world.command(&tool);
        command.arg(&secret).current_dir("/").uid(65534).gid(65534);
        Run::of(command).ends_with(1).says("error: cannot read `").says("Permission denied");
        return;
    }
    Run::of(command).ends_with(1).says("error: cannot read `").says("Permission denied");
}

#[test]
fn a_dry_run_says_what_it_would_cost() {
    let world = world();
    let large =
        format!(r#"{{"pk":{{"S":"a"}},"sk":{{"S":"b"}},"x":{{"S":"{}"}}}}"#, "y".repeat(5000));
    let file = world.file("items.json", format!("{}{large}\n", lines(10)));
    let run =
        import(&world, &file, &["--dry-run"]).succeeds().says("writing would cost 15 write units");
    assert_eq!(run.json()["write_units"], 15.0);
    run.says("11 lines read: 11 good, 0 bad");
    assert!(table(&world, "cruddur-messages").is_empty());
    // Every bad line, not just the first.
    let bad = world.file("bad.json", "{\n{\n");
    let run = import(&world, &bad, &["--dry-run"]).ends_with(1).says("error: 2 bad lines");
    run.says(&format!("warning: {bad}:1: ")).says(&format!("warning: {bad}:2: "));
    world.run("ddb-import", &[&file, "--dry-run", "--rejects", "x"]).ends_with(2);
}

#[test]
fn a_missing_table_says_how_to_get_it() {
    let world = world();
    let file = world.file("items.json", lines(1));
    import(&world, &file, &["--table", "orders"])
        .ends_with(1)
        .prints_only("")
        .says("error: there is no table `orders`")
        .says("hint: create it with `ddb-schema-load --table orders`");
}

#[test]
fn a_checkpoint_is_of_one_input_and_one_table() {
    let world = world();
    let file = world.file("items.json", lines(100));
    let checkpoint = ["--checkpoint", "mark"];
    let run = import(&world, &file, &checkpoint).succeeds();
    assert_eq!(Ledger::of(&run).resumed_at, 0);
    // Once it is finished there is nothing to do.
    let run = import(&world, &file, &checkpoint).succeeds().says("nothing to do: ");
    let ledger = Ledger::of(&run);
    assert_eq!((ledger.counts(), ledger.resumed_at), ([100, 0, 0], 101));
    assert!((ledger.consumed_capacity - 100.0).abs() < 0.5, "{ledger:?}");

    // A longer input goes on, one that differs before the mark is another.
    let longer = world.file("items.json", lines(130));
    let run = import(&world, &longer, &checkpoint).succeeds();
    let ledger = Ledger::of(&run);
    assert_eq!((ledger.counts(), ledger.resumed_at), ([130, 0, 0], 101));
    let other = world.file("items.json", lines(130).replacen("heron", "egret", 1));
    import(&world, &other, &checkpoint)
        .ends_with(1)
        .prints_only("")
        .says("error: the checkpoint `mark` is of another input")
        .says("hint: nothing is written; name another file with --checkpoint to start again");
    let shorter = world.file("items.json", lines(3));
    import(&world, &shorter, &checkpoint).ends_with(1).says("is of another input");

    let file = world.file("items.json", lines(130));
    world.run("ddb-schema-load", &["--table", "other"]).succeeds();
    import(&world, &file, &["--table", "other", "--checkpoint", "mark"])
        .ends_with(1)
        .says("error: the checkpoint `mark` is of the table `arn:aws:dynamodb:");
    world.run("ddb-drop", &["cruddur-messages"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    import(&world, &file, &checkpoint).ends_with(1).says("is of a table that was dropped since");
    assert!(table(&world, "cruddur-messages").is_empty());

    let nonsense = world.file("nonsense", "{}");
    import(&world, &file, &["--checkpoint", &nonsense])
        .ends_with(1)
        .says("is not a checkpoint of this tool");
}

#[test]
fn a_mended_line_goes_on_from_the_mark() {
    let world = world();
    let text = lines(1000);
    let broken = text.replacen(&line(900, "the heron"), "{", 1);
    let file = world.file("items.json", broken);
    let checkpoint = ["--checkpoint", "mark"];
    let run = import(&world, &file, &checkpoint).ends_with(1).says("items.json:901: ");
    assert_eq!(Ledger::of(&run).counts(), [900, 1, 0]);
    run.says("hint: rerun the same command to resume from the checkpoint");
    // As it is, it stops there again.
    import(&world, &file, &checkpoint).ends_with(1).says("items.json:901: ");
    let file = world.file("items.json", &text);
    let ledger = Ledger::of(&import(&world, &file, &checkpoint).succeeds());
    assert_eq!(ledger.counts(), [1000, 0, 0]);
    assert_eq!(ledger.resumed_at, 901);
    assert_eq!(table(&world, "cruddur-messages"), sorted(&text));
}

#[test]
fn max_wcu_shrinks_batches_and_slows_down() {
    let world = world();
    let file = world.file("items.json", lines(12));
    let proxy = Proxy::start(&world.endpoint(), |_, _| Answer::Forward);
    let start = std::time::Instant::now();
    let arguments = ["--max-wcu", "6", "--endpoint-url", &proxy.url()];
    let run = import(&world, &file, &arguments).succeeds();
    // 12 units at 6 a second: the last request can go when the one before it is
    // paid for, not before a second and a half.
    assert!(start.elapsed().as_secs_f64() >= 1.3, "{:?}", start.elapsed());
    assert_eq!(Ledger::of(&run).counts(), [12, 0, 0]);
    for request in proxy.requests().iter().filter(|request| request.operation == "BatchWriteItem") {
        let puts = request.body["RequestItems"]["cruddur-messages"].as_array().map_or(0, Vec::len);
        assert!(puts <= 3, "a batch of {puts}");
    }
    for bad in ["0", "-1", "x", "NaN"] {
        let limit = format!("--max-wcu={bad}");
        world.run("ddb-import", &[&file, &limit]).ends_with(2).says("a number of at least 0.1");
    }
}

#[test]
fn prod_asks_before_anything_is_replaced() {
    let world = world();
    let file = world.file("items.json", lines(5));
    let call = |arguments: &[&str]| {
        world.run_prod("ddb-import", &[&[&file, "prod", "--max-wcu", "1000"], arguments].concat())
    };
    call(&[])
        .ends_with(1)
        .says("error: this changes the table `cruddur-messages` in `prod`, and there is no terminal to ask at");
    call(&["--confirm", "messages"]).ends_with(1).says("--confirm names `messages`");
    // Into an empty table a yes is enough.
    call(&["--yes"]).succeeds().says("5 written");
    // Now there are items that could be lost.
    call(&["--yes"])
        .ends_with(1)
        .says("in place of those that have the same keys, which are lost then")
        .says("--yes is not enough to destroy something");
    call(&["--confirm", "cruddur-messages"]).succeeds().says("5 written");
    // Nothing is asked where nothing is written.
    call(&["--dry-run"]).succeeds().says("nothing is written");
    // Half of the five units that the table has.
    world
        .run_prod("ddb-import", &[&file, "prod", "--confirm", "cruddur-messages"])
        .succeeds()
        .says("limit: 2.5 write units a second, half of what the table has (--max-wcu N sets another)");
}

#[test]
fn what_the_server_refuses_is_a_rejected_line() {
    let world = world();
    // A server that knows a rule of its own.
    let proxy = Proxy::start(&world.endpoint(), |_, request| {
        if request.body.to_string().contains("egret") {
            let body = json!({"__type": "com.amazon.coral.validate#ValidationException", "message": "no egrets here"});
            return Answer::Reply { status: 400, body };
        }
        Answer::Forward
    });
    let text = lines(100).replacen(&line(60, "the heron"), &line(60, "the egret"), 1);
    let file = world.file("items.json", &text);
    let arguments = ["--endpoint-url", &proxy.url(), "--rejects", "rejects.json"];
    let run = import(&world, &file, &arguments).ends_with(3);
    assert_eq!(Ledger::of(&run).counts(), [99, 1, 0]);
    run.says(&format!("warning: {file}:61: no egrets here"));
    let kept = std::fs::read_to_string(world.folder().join("rejects.json")).expect("rejects");
    assert_eq!(kept, line(60, "the egret") + "\n");
    assert_eq!(table(&world, "cruddur-messages").len(), 99);

    let run = import(&world, &file, &["--endpoint-url", &proxy.url()]).ends_with(1);
    assert_eq!(Ledger::of(&run).rejected, 1);
    run.says(&format!("error: {file}:61: no egrets here"));
}

#[test]
fn a_csv_file_that_was_mended_goes_on_with_its_rejects() {
    let world = world();
    let rows = |bad: &str| format!("pk,sk,n:N\na,1,1\na,2,{bad}\na,3,3\n");
    let file = world.file("a.csv", rows("2"));
    let arguments = ["--checkpoint", "mark", "--rejects", "rejects.csv"];
    // Nothing is rejected, so there is no file of rejected rows to go on with.
    import(&world, &file, &arguments).succeeds();
    assert!(!world.folder().join("rejects.csv").exists());
    let file = world.file("a.csv", rows("2") + "b,1,one\nb,2,2\n");
    let run =
        import(&world, &file, &arguments).ends_with(3).says("a.csv:5: `n`: `one` is not a number");
    assert_eq!(Ledger::of(&run).counts(), [4, 1, 0]);
    // And with it.
    let file = world.file("a.csv", rows("2") + "b,1,one\nb,2,2\nb,3,three\n");
    let run = import(&world, &file, &arguments)
        .ends_with(3)
        .says("a.csv:7: `n`: `three` is not a number");
    assert_eq!(Ledger::of(&run).counts(), [4, 2, 0]);
    let kept = std::fs::read_to_string(world.folder().join("rejects.csv")).expect("rejects");
    assert_eq!(kept, "pk,sk,n:N\nb,1,one\nb,3,three\n");
    // Done is done, and what was rejected is still not written.
    let run = import(&world, &file, &arguments).ends_with(3).says("nothing to do");
    run.says("error: 2 lines rejected; the rest is written").says("fix `rejects.csv`");
}

#[test]
fn a_row_of_csv_that_was_cut_is_not_taken_for_whole() {
    let world = world();
    let file = world.file("a.csv", "pk,sk,text\na,1,whole\na,2,\"hello wor");
    let run = import(&world, &file, &[]).ends_with(1).says("a.csv:3: a quote that is not closed");
    assert_eq!(Ledger::of(&run).counts(), [1, 1, 0]);
}

#[test]
fn one_file_is_not_named_for_two_things() {
    let world = world();
    let file = world.file("items.json", lines(1));
    for arguments in [
        &[file.as_str(), "--rejects", "x", "--checkpoint", "./x"][..],
        &[&file, "--rejects", &file],
        &[&file, "--checkpoint", &file],
    ] {
        world.run("ddb-import", arguments).ends_with(2).says("is named for").says("name two files");
    }
    world
        .run("ddb-export", &["--out", "x", "--checkpoint", "x"])
        .ends_with(2)
        .says("is named for --out and for --checkpoint");
    assert_eq!(std::fs::read_to_string(&file).expect("the input"), lines(1));
}

#[test]
fn a_report_that_nobody_reads_hides_no_failure() {
    let world = world();
    let file = world.file("items.json", format!("{}\n{{\n", line(1, "good")));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = world.tool("ddb-import", &[&file, "--output", "json"]);
    let ended = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("spawn");
    let ended = ended.wait_with_output().expect("wait");
    let said = String::from_utf8(ended.stderr).expect("UTF-8");
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("items.json:2: "), "{said}");
}

fn text_of(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.folder().join(name)).expect("a file")
}

#[test]
fn a_checkpoint_is_for_one_run_at_a_time() {
    let world = world();
    let file = world.file("items.json", lines(100));
    let server = Holding::start(&world, "BatchWriteItem");
    let url = server.url();
    let arguments =
        [&file, "--checkpoint", "mark", "--rejects", "bad.json", "--endpoint-url", &url];
    let first = server.hold(world.tool("ddb-import", &arguments));
    // Each save puts another file in its place.
    let inode = || std::fs::metadata(world.folder().join("mark")).map_or(0, |there| there.ino());
    let before = inode();
    wait_for("a save", || inode() != before);
    world
        .run("ddb-import", &arguments)
        .ends_with(1)
        .prints_only("")
        .says(&format!("error: the checkpoint `mark` is in use by {}", first.named()))
        .says("hint: wait until it has ended, or name another file with --checkpoint");
    let arguments_of_another =
        [&file, "--checkpoint", "other", "--rejects", "bad.json", "--endpoint-url", &url];
    world
        .run("ddb-import", &arguments_of_another)
        .ends_with(1)
        .says(&format!("error: `bad.json` is in use by {}", first.named()))
        .says("name another file with --rejects");
    assert!(!world.folder().join("other").exists(), "a checkpoint that holds nothing");
    drop(first);
    server.release();
    world.run("ddb-import", &arguments).succeeds().says("100 written");
    assert_eq!(table(&world, "cruddur-messages"), sorted(&lines(100)));
}

#[test]
fn the_input_is_not_taken_for_an_old_temporary_file() {
    let world = world();
    for name in ["items.mark.tmp", ".items.mark.tmp", "items.mark.part"] {
        let file = world.file(name, lines(5));
        let arguments = ["--format", "dynamodb-json", "--checkpoint", "items.mark"];
        import(&world, &file, &arguments).succeeds();
        assert_eq!(text_of(&world, name), lines(5));
        assert!(text_of(&world, "items.mark").contains("\"finished\": true"));
        std::fs::remove_file(world.folder().join("items.mark")).expect("remove");
    }
    let left: Vec<_> = std::fs::read_dir(world.folder())
        .expect("a folder")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter(|name| name.starts_with(".checkpoint"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_file_by_another_name_is_the_same_file() {
    let world = world();
    let file = world.file("items.json", lines(3));
    let at = |name: &str| world.folder().join(name);
    symlink("items.json", at("soft.json")).expect("link");
    std::fs::hard_link(&file, at("hard.json")).expect("link");
    symlink("new.json", at("to-new.json")).expect("link");
    std::fs::create_dir(at("folder")).expect("folder");
    symlink("folder", at("to-folder")).expect("link");
    let calls: [(&[&str], &str); 6] = [
        (&["--rejects", "soft.json"], "for FILE and for --rejects"),
        (&["--rejects", "hard.json"], "for FILE and for --rejects"),
        (&["--checkpoint", "soft.json"], "for FILE and for --checkpoint"),
        (&["--checkpoint", "hard.json"], "for FILE and for --checkpoint"),
        (
            &["--rejects", "to-new.json", "--checkpoint", "new.json"],
            "for --rejects and for --checkpoint",
        ),
        (
            &["--rejects", "folder/x", "--checkpoint", "to-folder/x"],
            "for --rejects and for --checkpoint",
        ),
    ];
    for (arguments, said) in calls {
        import(&world, &file, arguments).ends_with(2).says(said).says("hint: name two files");
    }
    assert_eq!(text_of(&world, "items.json"), lines(3));
    assert!(!at("new.json").exists() && !at("folder/x").exists());
}

#[test]
fn a_checkpoint_behind_a_link_leaves_the_link() {
    let world = world();
    let file = world.file("items.json", lines(10));
    std::fs::create_dir(world.folder().join("deep")).expect("folder");
    let link = world.folder().join("mark");
    symlink("deep/mark", &link).expect("link");
    import(&world, &file, &["--checkpoint", "mark"]).succeeds();
    assert!(link.is_symlink() && !world.folder().join("deep/mark").is_symlink());
    import(&world, &file, &["--checkpoint", "deep/mark"]).succeeds().says("nothing to do");
    import(&world, &file, &["--checkpoint", "mark"]).succeeds().says("nothing to do");
    // What is no regular file is neither locked nor replaced.
    let pipe = world.folder().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    for option in ["--checkpoint", "--rejects"] {
        import(&world, &file, &[option, "pipe"]).ends_with(2).says("`pipe` is not a regular file");
    }
    assert_eq!(std::fs::metadata(&pipe).expect("a pipe").mode() & 0o170_000, 0o010_000);
}

#[test]
fn what_it_writes_is_for_its_owner_alone() {
    let world = world();
    let file = world.file("items.json", format!("{}\n{{\n", line(1, "good")));
    let arguments = ["--checkpoint", "mark", "--rejects", "bad.json"];
    import(&world, &file, &arguments).ends_with(3);
    assert_eq!([mode(&world, "mark"), mode(&world, "bad.json")], [0o600; 2]);
    // Files that somebody made for it stay as they were made.
    for name in ["mark", "bad.json"] {
        let path = world.file(name, "");
        let permissions = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(path, permissions).expect("chmod");
    }
    import(&world, &file, &arguments).ends_with(3);
    assert_eq!([mode(&world, "mark"), mode(&world, "bad.json")], [0o640; 2]);
    assert_eq!(text_of(&world, "bad.json"), "{\n");
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_is_repeated() {
    let world = world();
    let file = world.file("items.json", format!("{}\n{{\n", line(1, "good")));
    // As a kill leaves it, or `mktemp`.
    for checkpoint in [&["--checkpoint", "mark"][..], &[]] {
        world.file("bad.json", "");
        let arguments = [checkpoint, &["--rejects", "bad.json"]].concat();
        let run = import(&world, &file, &arguments).ends_with(3);
        assert_eq!(Ledger::of(&run).counts(), [1, 1, 0]);
        assert_eq!(text_of(&world, "bad.json"), "{\n");
    }
}

/// A run that was killed with nothing in its checkpoint and nothing rejected, and
/// what stands in its file of rejected lines by then: what becomes of that?
#[track_caller]
fn goes_on_with(input: (&str, &str), left: &str, rejected: Option<&str>) {
    let world = world();
    let (name, text) = input;
    let file = world.file(name, text);
    let server = Holding::start(&world, "BatchWriteItem");
    let url = server.url();
    let arguments = ["--checkpoint", "mark", "--rejects", "bad", "--endpoint-url", &url];
    let tool = world.tool("ddb-import", &[&[file.as_str()], &arguments[..]].concat());
    drop(server.hold(tool));
    server.release();
    let mark: serde_json::Value =
        serde_json::from_str(&text_of(&world, "mark")).expect("a checkpoint");
    assert_eq!([&mark["written"], &mark["rejected"]], [0, 0], "{mark}");
    world.file("bad", left);
    if rejected.is_none() {
        import(&world, &file, &arguments)
            .ends_with(1)
            .prints_only("")
            .says("error: `bad` already exists, with other lines")
            .says("or move this one away");
        assert_eq!(text_of(&world, "bad"), left);
        std::fs::remove_file(world.folder().join("bad")).expect("remove");
    }
    let run = import(&world, &file, &arguments).ends_with(3);
    assert_eq!(Ledger::of(&run).counts(), [1, 2, 0]);
    if let Some(rejected) = rejected {
        assert_eq!(text_of(&world, "bad"), rejected);
    }
}

#[test]
fn rejected_lines_behind_the_checkpoint_are_written_again() {
    let json = format!("{}\n{{\n\nnonsense\n", line(1, "good"));
    let json = ("a.json", json.as_str());
    let rejected = Some("{\nnonsense\n");
    goes_on_with(json, "", rejected);
    goes_on_with(json, "{\nnons", rejected);
    goes_on_with(json, "{\nnonsense\n", rejected);
    let csv = ("a.csv", "pk,sk,n:N\r\na,1,1\r\na,2,\"o\r\nne\"\r\na,3,two\r\n");
    let rejected = Some("pk,sk,n:N\na,2,\"o\r\nne\"\na,3,two\n");
    goes_on_with(csv, "pk,s", rejected);
    goes_on_with(csv, "pk,sk,n:N\na,2,\"o\r\nne\"\na,3", rejected);
}

#[test]
fn a_file_of_other_lines_is_never_cut_off() {
    let json = format!("{}\n{{\n\nnonsense\n", line(1, "good"));
    let json = ("a.json", json.as_str());
    goes_on_with(json, "mine\n", None);
    goes_on_with(json, "{\nmine\n", None);
    goes_on_with(json, "nonsense\n{\n", None);
    let csv = ("a.csv", "pk,sk,n:N\na,1,1\na,2,one\na,3,two\n");
    goes_on_with(csv, "id,name\n1,mine\n", None);
    goes_on_with(csv, "pk,sk,n:N\na,2,three\n", None);
}

#[test]
fn two_csv_files_in_one_have_a_bad_line() {
    let world = world();
    let file = world.file("a.csv", "pk,sk,text\na,1,x\n\u{feff}pk,sk,text\r\nb,1,y\r\n");
    let said = "a.csv:3: the header row again: two files joined?";
    let run = import(&world, &file, &[]).ends_with(1).says(said);
    assert_eq!(Ledger::of(&run).counts(), [1, 1, 0]);
    import(&world, &file, &["--dry-run"]).ends_with(1).says(said);
    let run = import(&world, &file, &["--rejects", "bad.csv"]).ends_with(3).says(said);
    assert_eq!(Ledger::of(&run).counts(), [2, 1, 0]);
    let item = |pk, text| {
        format!(r#"{{"Item":{{"pk":{{"S":"{pk}"}},"sk":{{"S":"1"}},"text":{{"S":"{text}"}}}}}}"#)
    };
    assert_eq!(table(&world, "cruddur-messages"), [item("a", "x"), item("b", "y")]);
}
