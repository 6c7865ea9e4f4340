//! boto3 reads what the tools wrote, with the key shapes of the app.

use cli_tests::{GROUP, JESS, Run, World};

#[test]
fn boto3_reads_the_app_key_shapes() {
    let world = World::seeded();
    let Some(python) = cli_tests::python() else { return };
    let script = r##"
import boto3, os, sys
from boto3.dynamodb.conditions import Key
table = boto3.resource("dynamodb", region_name="us-east-1", endpoint_url=sys.argv[1],
    aws_access_key_id="local", aws_secret_access_key="local").Table("cruddur-messages")
messages = table.query(KeyConditionExpression=Key("pk").eq("MSG#" + sys.argv[2]))["Items"]
groups = table.query(KeyConditionExpression=Key("pk").eq("GRP#" + sys.argv[3]))["Items"]
print(len(messages), sorted(messages[0]))
print(messages[0]["sk"], messages[-1]["sk"])
print(len(groups), sorted(groups[0]))
print(groups[0]["sk"], groups[0]["message_group_uuid"], groups[0]["user_handle"])
print(all(isinstance(v, str) for row in messages + groups for v in row.values()))
"##;
    let mut command = world.command(python);
    command.args(["-c", script, &world.endpoint(), GROUP, JESS]);
    Run::of(command).succeeds().prints_only(&format!(
        "104 ['message', 'message_uuid', 'pk', 'sk', 'user_display_name', 'user_handle', 'user_uuid']\n\
         2026-01-01T00:00:00.000000+00:00 2026-01-01T01:43:00.000000+00:00\n\
         1 ['message', 'message_group_uuid', 'pk', 'sk', 'user_display_name', 'user_handle', 'user_uuid']\n\
         2026-01-01T01:43:00.000000+00:00 {GROUP} bayko\n\
         True\n"
    ));
}
