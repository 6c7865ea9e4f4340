//! `scripts/rds-update-sg-rule`, by the AWS CLI against moto's EC2.

use std::process::Command;

use cli_tests::{Run, World, workspace};

/// A security group with a rule for the database and one for something else.
struct Group {
    world: World,
    group: String,
    rule: String,
    other: String,
}

impl Group {
    /// `None` only where there is no moto or no AWS CLI, which fails in CI.
    fn new() -> Option<Self> {
        let world = World::empty().with_pool(&[])?;
        if !workspace().join(".local-stack/aws-cli/bin/aws").is_file() {
            cli_tests::cannot_run("the AWS CLI: `scripts/test` installs it");
            return None;
        }
        let name = world.database().to_owned();
        let group = ["create-security-group", "--group-name", &name, "--description", "x"];
        let group = Self::ec2(&world, &group)["GroupId"].as_str().expect("an id").to_owned();
        let rule = |port: &str| {
            let cidr = "198.51.100.1/32";
            let rule = [
                "authorize-security-group-ingress",
                "--group-id",
                &group,
                "--protocol",
                "tcp",
                "--port",
                port,
                "--cidr",
                cidr,
            ];
            let rule = Self::ec2(&world, &rule);
            rule["SecurityGroupRules"][0]["SecurityGroupRuleId"].as_str().expect("an id").to_owned()
        };
        let (rule, other) = (rule("5432"), rule("22"));
        Some(Self { group, rule, other, world })
    }

    fn with_aws(world: &World, mut command: Command) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = workspace().join(".local-stack/aws-cli/bin");
        command.env("PATH", format!("{}:{path}", bin.display()));
        command.env("AWS_ENDPOINT_URL_EC2", world.cognito().url()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }

    fn ec2(world: &World, arguments: &[&str]) -> serde_json::Value {
        let mut command = Self::with_aws(world, world.command("aws"));
        command
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .arg("ec2")
            .args(arguments)
            .args(["--output", "json"]);
        Run::of(command).succeeds().json()
    }

    /// The script, set up to succeed.
    fn script(&self, arguments: &[&str]) -> Command {
        let script = workspace().join("scripts/rds-update-sg-rule");
        let mut command = Self::with_aws(&self.world, self.world.command(script));
        command.args(arguments).env("DB_SG_ID", &self.group).env("DB_SG_RULE_ID", &self.rule);
        command
    }

    /// Address and description of the rule.
    fn rule(&self) -> (String, String) {
        let rules = Self::ec2(
            &self.world,
            &["describe-security-group-rules", "--security-group-rule-ids", &self.rule],
        );
        let rule = &rules["SecurityGroupRules"][0];
        let text = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
        assert_eq!((&rule["FromPort"], &rule["IsEgress"]), (&5432.into(), &false.into()));
        (text("CidrIpv4"), text("Description"))
    }
}

#[test]
fn one_address_is_let_in() {
    let Some(group) = Group::new() else { return };
    Run::of(group.script(&["--ip", "203.0.113.7", "--description", "ann, at home"]))
        .succeeds()
        .prints_only("tcp 5432 is open to 203.0.113.7/32 (ann, at home)\n")
        .says("account: 123456789012  principal arn:aws:sts::123456789012:")
        .says(&format!("rule {} of {}: tcp 5432 from 198.51.100.1/32\n", group.rule, group.group));
    assert_eq!(group.rule(), ("203.0.113.7/32".into(), "ann, at home".into()));
    // As the container says it, and by default with who and when.
    let mut command = group.script(&[]);
    // The app's containers set it, and it is DynamoDB's.
    command.env("GITPOD_IP", "203.0.113.8/32").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    Run::of(command).succeeds().prints("tcp 5432 is open to 203.0.113.8/32 (");
    let (address, description) = group.rule();
    assert_eq!(address, "203.0.113.8/32");
    assert!(description.contains(" at ") && description.contains(", 20"), "{description}");
    // The flag goes before the variable.
    let mut command = group.script(&["--ip=203.0.113.9"]);
    command.env("GITPOD_IP", "nonsense");
    Run::of(command).succeeds();
    assert_eq!(group.rule().0, "203.0.113.9/32");
}

#[test]
fn a_dry_run_changes_nothing() {
    let Some(group) = Group::new() else { return };
    let before = group.rule();
    Run::of(group.script(&["--ip", "203.0.113.7", "--description", "x", "--dry-run"]))
        .succeeds()
        .prints_only("would let in 203.0.113.7/32 (x); nothing is changed (--dry-run)\n");
    assert_eq!(group.rule(), before);
}

/// Nothing is called: the `aws` of this PATH would say so.
#[test]
fn what_is_no_single_address_is_refused_before_any_call() {
    let world = World::empty();
    let aws = world.file("aws", "#!/bin/sh\necho called >&2\n");
    std::fs::set_permissions(aws, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("mode");
    let run = |ip: &str, arguments: &[&str]| {
        let mut command = world.command(workspace().join("scripts/rds-update-sg-rule"));
        command.env("PATH", format!("{}:/usr/bin:/bin", world.folder().display()));
        command.env("DB_SG_ID", "sg-1").env("DB_SG_RULE_ID", "sgr-1").env("GITPOD_IP", ip);
        Run::of({
            command.args(arguments);
            command
        })
        .ends_with(2)
        .prints_only("")
        .does_not_say("called")
    };
    run("", &[]).says("error: no address is named\n  hint: name it with --ip, or in GITPOD_IP\n");
    run("", &["--ip", ""]).says("error: no address is named");
    for wide in ["0.0.0.0/0", "203.0.113.0/24", "203.0.113.7/31", "203.0.113.7/32/32", "/32"] {
        let run = run(wide, &[]);
        assert!(run.stderr.contains("is wider than one host") || wide == "/32", "{run}");
    }
    for wrong in [
        "203.0.113",
        "203.0.113.256",
        "203.0.113.7.8",
        "203.0.113.07",
        "203..113.7",
        "a.b.c.d",
        "1",
        "-1.2.3.4",
        "203.0.113.7 ",
        "203.0.113.7\n0.0.0.0",
        "203.0.113.7,0.0.0.0/0",
        "*",
        "999999999999999999999.1.1.1",
    ] {
        run(wrong, &[]).says("error: `");
    }
    run("0.0.0.0", &[]).says("is nobody's address");
    run("127.0.0.1", &[]).says("is nobody's address");
    run("224.0.0.1", &[]).says("is nobody's address");
    run("255.255.255.255", &[]).says("is nobody's address");
    run("2001:db8::1", &[]).says("is an IPv6 address");
    run("203.0.113.7", &["--description", "a\"b"]).says("EC2 does not take the description");
    run("203.0.113.7", &["--ipp", "x"]).says("there is no option `--ipp`");
    run("203.0.113.7", &["--ip"]).says("--ip takes a value");
    for variable in ["DB_SG_ID", "DB_SG_RULE_ID"] {
        let mut command = world.command(workspace().join("scripts/rds-update-sg-rule"));
        command.args(["--ip", "203.0.113.7"]).env("DB_SG_ID", "sg-1").env("DB_SG_RULE_ID", "sgr-1");
        command.env(variable, "");
        Run::of(command).ends_with(2).says(&format!("error: {variable} is not set"));
    }
}

#[test]
fn another_rule_another_group_and_another_account_are_refused() {
    let Some(group) = Group::new() else { return };
    let before = group.rule();
    let refused = |variable: &str, value: &str, why: &str| {
        let mut command = group.script(&["--ip", "203.0.113.7"]);
        command.env(variable, value);
        Run::of(command).ends_with(1).prints_only("").says(why).says("nothing is changed");
    };
    refused("DB_SG_RULE_ID", &group.other, "is not an inbound one for tcp 5432 (tcp 22 to 22)");
    refused("DB_SG_RULE_ID", "sgr-0000000000000000f", "error: cannot read the rule");
    refused("DB_SG_ID", "sg-0000000000000000f", "and DB_SG_ID is sg-0000000000000000f");
    refused("OPS_EXPECTED_ACCOUNT_ID", "999999999999", "error: this is the account 123456789012");
    let mut command = group.script(&["--ip", "203.0.113.7"]);
    command.env("OPS_EXPECTED_ACCOUNT_ID", "123456789012").env_remove("AWS_ENDPOINT_URL_EC2");
    Run::of(command).ends_with(1).says("error: AWS_ENDPOINT_URL_STS points STS elsewhere than EC2");
    assert_eq!(group.rule(), before);
    let mut command = group.script(&["--ip", "203.0.113.7"]);
    command.env("OPS_EXPECTED_ACCOUNT_ID", "123456789012");
    Run::of(command).succeeds();
    let mut command = group.script(&["--ip", "203.0.113.7"]);
    command.env("PATH", "/nowhere:/usr/bin:/bin");
    if !["/usr/bin/aws", "/bin/aws"].iter().any(|aws| std::path::Path::new(aws).exists()) {
        Run::of(command).ends_with(1).says("error: there is no AWS CLI\n  hint: install it");
    }
}

#[test]
fn help_says_what_it_takes() {
    let mut command = World::empty().command(workspace().join("scripts/rds-update-sg-rule"));
    command.arg("--help").current_dir(workspace());
    let run = Run::of(command).succeeds();
    for word in ["--ip", "GITPOD_IP", "--dry-run", "--description", "DB_SG_ID", "DB_SG_RULE_ID"] {
        assert!(run.stdout.contains(word), "{run}");
    }
}

#[test]
fn the_documented_calls_work() {
    let Some(group) = Group::new() else { return };
    let page = std::fs::read_to_string(workspace().join("docs/production.md")).expect("the page");
    let calls: Vec<&str> =
        page.lines().filter(|line| line.starts_with("scripts/rds-update-sg-rule ")).collect();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let mut command = group.script(&[]);
        let env: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new("bash");
        command.args(["-c", call]).env_clear().envs(env).current_dir(workspace());
        Run::of(command).succeeds().prints("203.0.113.7/32");
    }
    assert_eq!(group.rule(), ("203.0.113.7/32".into(), "ann, at home".into()));
}
