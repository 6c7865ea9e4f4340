//! What a person sees at a terminal of so many columns, and in their own time zone.

use std::fs::File;
use std::process::Command;
use std::sync::{Mutex, mpsc};

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{GROUP, JESS, Run, World};

use crate::terminal::{at_terminal, status};

/// All that the tool says at a terminal of this width, without colours.
fn seen(world: &World, columns: u16, tool: &str, arguments: &[&str]) -> String {
    let mut shell = world.command("sh");
    let script = format!("stty cols {columns} rows 60; exec \"$0\" \"$@\"");
    shell.args(["-c", &script]).arg(cli_tests::binary(tool)).args(arguments);
    shell.env("NO_COLOR", "1").env("TERM", "xterm");
    let seen = at_terminal(shell).exp_eof().expect("the end");
    // Each byte comes as a character.
    let bytes = seen.chars().filter(|c| *c != '\r').map(|c| u8::try_from(c).expect("a byte"));
    String::from_utf8(bytes.collect()).expect("UTF-8")
}

fn in_zone(world: &World, zone: &str, tool: &str, arguments: &[&str]) -> Run {
    let mut command = world.tool(tool, arguments);
    command.env("TZ", zone);
    Run::of(command).succeeds()
}

#[test]
fn at_forty_columns_messages_are_shown_whole() {
    let world = World::seeded();
    let json = world.run("ddb-get-conversation", &["--limit", "5", "--output", "json"]).json();
    let seen = seen(&world, 40, "ddb-get-conversation", &["--limit", "5"]);
    for line in seen.lines() {
        assert!(line.chars().count() <= 40, "{line}\n{seen}");
    }
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for message in json["messages"].as_array().expect("messages") {
        let text = message["message"].as_str().expect("a text");
        assert!(words(&seen).contains(&words(text)), "{text}\n{seen}");
    }
}

#[test]
fn at_eighty_columns_a_scan_has_room_for_messages() {
    let world = World::seeded();
    let seen = seen(&world, 80, "ddb-scan", &[]);
    assert!(seen.contains(&format!("Messages of conversation {GROUP}\n")), "{seen}");
    assert!(seen.contains(&format!("Message groups of user {JESS}\n")), "{seen}");
    assert!(seen.contains("  jess-bk   Bayko! I saw your crud before it expired."), "{seen}");
    // A file has the conversation in each row.
    let piped = world.run("ddb-scan", &[]).succeeds().stdout;
    assert!(piped.matches(GROUP).count() > 100, "{piped}");
}

#[test]
fn numbers_end_below_each_other_and_sizes_have_units() {
    let world = World::seeded();
    world.run("ddb-schema-load", &["--table", "another"]).succeeds();
    let run = world.run("ddb-list-tables", &["--long"]).succeeds();
    let column = |line: &str, word: &str| {
        let at = line.find(word).unwrap_or_else(|| panic!("no `{word}`\n{run}"));
        at + word.len()
    };
    let lines: Vec<&str> = run.stdout.lines().collect();
    let line = |name: &str| lines.iter().find(|line| line.contains(name)).expect(name);
    assert_eq!(column(lines[0], "items"), column(line("another"), "ACTIVE       0"), "{run}");
    assert_eq!(column(lines[0], "items"), column(line("cruddur"), "ACTIVE     106"), "{run}");
    assert_eq!(column(lines[0], "size"), column(line("another"), "0 bytes"), "{run}");
    assert_eq!(column(lines[0], "size"), column(line("cruddur"), "KiB"), "{run}");
}

#[test]
fn times_say_their_zone() {
    let world = World::seeded();
    let get = ["--limit", "1", "--until", "2026-01-01T00:00:30Z"];
    let run = in_zone(&world, "Asia/Kathmandu", "ddb-get-conversation", &get);
    run.prints("  sent (UTC+05:45)   from").prints("  2026-01-01 05:45   jess-bk");
    let run = in_zone(&world, "EST5EDT", "ddb-list-conversations", &[]);
    run.prints("last (UTC-05:00)").prints("2025-12-31 20:43").does_not_say("TZ");
    in_zone(&world, "", "ddb-scan", &["--limit", "1"]).prints(" (UTC)");
    let sent = ["--from", "bayko", "--to", "jess-bk", "Hi"];
    in_zone(&world, "<+0545>-5:45", "ddb-send-message", &sent)
        .prints(" UTC+05:45  bayko to jess-bk");
}

/// Two rows of one table, on both sides of a change of the clock.
#[test]
fn where_the_offset_changes_each_time_has_its_own() {
    let world = World::ready();
    world.run("ddb-seed", &["--start", "2026-03-29T00:30:00Z"]).succeeds();
    let run = in_zone(&world, "Europe/Berlin", "ddb-get-conversation", &["--limit", "104"]);
    run.prints("  sent                         from")
        .prints("  2026-03-29 01:59 UTC+01:00   ")
        .prints("  2026-03-29 03:00 UTC+02:00   ");
}

#[test]
fn a_time_zone_that_is_none_is_told() {
    let world = World::seeded();
    let run = in_zone(&world, "Europa/Berlin", "ddb-scan", &[]);
    let run = run.prints("sent (UTC)").says(
        "warning: TZ is `Europa/Berlin`, which is not a time zone known here; times are shown in UTC\n",
    );
    assert_eq!(run.stderr.matches("warning").count(), 1, "{run}");
    let since = |time: &str| {
        let mut command = world.tool("ddb-get-conversation", &["--since", time]);
        command.env("TZ", "Europa/Berlin");
        Run::of(command)
    };
    since("2026-01-01").ends_with(2).prints_only("").says(
        "TZ is `Europa/Berlin`, which is not a time zone known here: say the time with its zone",
    );
    since("2026-01-01T00:00:00Z").succeeds();
    // A summer time that does not say when it is.
    in_zone(&world, "CET-1CEST", "ddb-scan", &["--limit", "1"]).says("TZ is `CET-1CEST`");
}

/// Where production is meant nobody has to read for it.
#[test]
fn production_is_unmistakable() {
    let world = World::dynamodb();
    let said = |mut command: Command| {
        command.args(["--color", "always"]);
        Run::of(command).succeeds().stderr
    };
    let prod = said(world.prod_tool("ddb-list-tables", &["prod"]));
    assert!(prod.starts_with("\u{1b}[1;41;97mtarget: PROD\u{1b}[0m  endpoint http"), "{prod:?}");
    let local = said(world.tool("ddb-list-tables", &[]));
    assert!(local.starts_with("\u{1b}[2mtarget: local  endpoint http"), "{local:?}");
}

#[test]
fn a_wrong_command_line_is_answered_with_a_hint() {
    let world = World::empty();
    let wrong = |tool: &str, arguments: &[&str]| {
        world.run(tool, arguments).ends_with(2).prints_only("").does_not_say("tip:")
    };
    wrong("ddb-scan", &["--selct", "a"]).says("  hint: a similar argument exists: '--select'\n");
    wrong("ddb-scan", &["PROD"]).says("  hint: a similar value exists: 'prod'\n");
    wrong("ddb-scan", &["cruddur-messages"])
        .says("  hint: something else is named with an option: --table\n");
    wrong("ddb-list-conversations", &["bayko"]).says("named with an option: --table, --handle\n");
    // Behind `--` stands a target, and that is none.
    wrong("ddb-scan", &["--nope"]).says("unexpected argument '--nope'").does_not_say("-- --nope");
    wrong("ddb-send-message", &["--from", "bayko", "--to", "maren", "--nope"])
        .says("  hint: to pass '--nope' as a value, use '-- --nope'\n");
    wrong("ddb-send-message", &["--from", "bayko", "--to", "maren", "PROD", "x"])
        .says("error: `PROD` is not a target: `local` or `prod`\n  hint: did you mean `prod`?");
    // The text was forgotten: the target is not sent in its place.
    wrong("ddb-send-message", &["Prod", "--from", "bayko", "--to", "maren"])
        .says("error: there is no message, only the target `Prod`");
}

#[test]
fn consent_is_asked_for_with_the_flag_that_gives_it() {
    let world = World::ready();
    let refused = |tool: &str, arguments: &[&str]| {
        world.run_prod(tool, arguments).ends_with(1).prints_only("")
    };
    refused("ddb-send-message", &["prod", "Hi", "--from", "bayko", "--to", "maren"])
        .says("  hint: consent with --yes\n");
    refused("ddb-schema-load", &["prod"]).says("  hint: consent with --yes\n");
    refused("ddb-schema-load", &["prod", "--update"])
        .says("consent with --yes, or with --confirm cruddur-messages where something is replaced");
    refused("ddb-seed", &["prod"])
        .says("consent with --yes, or with --confirm cruddur-messages where something is replaced");
}

/// The items go to a file, and the person waits at the terminal.
#[test]
fn a_scan_into_a_file_shows_how_far_it_is() {
    let world = World::seeded();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let proxy = Proxy::start(&world.endpoint(), move |number, request| {
        if number > 0 {
            // Answers when the test has seen what it waits for.
            let _ = may_go_on.lock().expect("one request").recv();
            return Answer::Forward;
        }
        let mut body = request.body.clone();
        body["Limit"] = serde_json::json!(10);
        Answer::Instead { body, add: serde_json::json!({}) }
    });
    let mut shell = world.command("sh");
    let file = world.folder().join("items.jsonl");
    let script = "exec \"$0\" --output jsonl --endpoint-url \"$1\" > \"$2\"";
    shell.args(["-c", script]).arg(cli_tests::binary("ddb-scan")).arg(proxy.url()).arg(&file);
    shell.env("TERM", "xterm");
    let mut session = at_terminal(shell);
    session.exp_string("scanning: 10 of 10 items read").expect("progress");
    go_on.send(()).expect("the proxy waits");
    session.exp_string("106 items").expect("the end");
    assert_eq!(status(session), 0);
    let lines = std::io::BufRead::lines(std::io::BufReader::new(File::open(file).expect("a file")));
    assert_eq!(lines.count(), 106);
}

/// A row of the future, written by a machine whose clock is wrong, moves all that follow.
#[test]
fn a_message_of_the_future_is_told() {
    let world = World::ready();
    let send = || world.run("ddb-send-message", &["--from", "bayko", "--to", "jess-bk", "Hi"]);
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    send().succeeds().does_not_say("warning");
    let world = World::ready();
    world.run("ddb-seed", &["--start", "2990-01-01T00:00:00Z"]).succeeds();
    let sent = ["--from", "bayko", "--to", "jess-bk", "Hi"];
    world.run("ddb-send-message", &sent).succeeds().prints("2990-01-01 01:43 UTC").says(
        "warning: the message is dated 2990-01-01 01:43 UTC, after the last one of the conversation, which is dated later than this machine's clock",
    );
}
