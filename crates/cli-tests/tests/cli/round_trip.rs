//! Any item at all, out and in again without loss.

use std::borrow::Cow;

use ops_common::dynamodb::item::{Attribute, Attributes};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::bulk::{sorted, table, world};

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z]{0,8}",
        Just(String::new()),
        Just("\u{0}\u{7f}\u{fffd}\"\\/\n\r\t🦀é\u{2028}".to_owned()),
    ]
}

/// Numbers as DynamoDB writes them: it takes zeros off and writes no exponent
/// where it need not.
fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        Just("0".to_owned()),
        Just("12345678901234567890123456789012345678".to_owned()),
        Just("-0.1234567890123456789012345678901234567".to_owned()),
        (1..=9u8, 1..=9u8).prop_map(|(a, b)| format!("{a}.{b}")),
    ]
}

fn binaries() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(aws_base64)
}

fn aws_base64(bytes: Vec<u8>) -> String {
    let item = ops_common::app::records::Item::from([(
        "b".to_owned(),
        aws_sdk_dynamodb::types::AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(bytes)),
    )]);
    match Attributes::from_sdk(&item).as_ref().and_then(|item| item.get("b")) {
        Some(Attribute::B(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

fn set(
    elements: impl Strategy<Value = String>,
    make: fn(Vec<Cow<'static, str>>) -> Attribute<'static>,
) -> impl Strategy<Value = Attribute<'static>> {
    prop::collection::btree_set(elements, 1..6)
        .prop_map(move |elements| make(elements.into_iter().map(Cow::Owned).collect()))
}

fn attributes() -> impl Strategy<Value = Attribute<'static>> {
    let leaf = prop_oneof![
        texts().prop_map(|text| Attribute::S(text.into())),
        numbers().prop_map(|digits| Attribute::N(digits.into())),
        binaries().prop_map(|text| Attribute::B(text.into())),
        any::<bool>().prop_map(Attribute::Bool),
        Just(Attribute::Null),
        set(texts().prop_filter("not empty", |text| !text.is_empty()), Attribute::Ss),
        set(numbers(), Attribute::Ns),
        set(binaries().prop_filter("not empty", |text| !text.is_empty()), Attribute::Bs),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Attribute::L),
            members(inner).prop_map(Attribute::M),
        ]
    })
}

fn members(
    values: impl Strategy<Value = Attribute<'static>>,
) -> impl Strategy<Value = Attributes<'static>> {
    let names = texts().prop_filter("not empty", |name| !name.is_empty());
    prop::collection::btree_map(names, values, 0..6).prop_map(|members| {
        let members = members.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Attributes::new(members).expect("each name once")
    })
}

proptest! {
    #[test]
    fn an_item_is_what_its_json_says(item in members(attributes())) {
        let text = serde_json::to_string(&item).expect("JSON");
        let again: Attributes<'_> = serde_json::from_str(&text).expect("an item");
        prop_assert_eq!(&again, &item);
        let sdk = item.to_sdk();
        prop_assert_eq!(Attributes::from_sdk(&sdk).expect("known types"), item);
    }
}

#[test]
fn any_item_goes_in_and_out_and_in_again() {
    let mut runner = TestRunner::default();
    let strategy = members(attributes());
    let mut text = String::new();
    for number in 0..400 {
        let item = strategy.new_tree(&mut runner).expect("an item").current();
        let mut item: Vec<_> = item
            .iter()
            .filter(|(name, _)| !["pk", "sk"].contains(name))
            .map(|(name, value)| (Cow::Borrowed(name), value.clone()))
            .collect();
        item.push(("pk".into(), Attribute::S("a".into())));
        item.push(("sk".into(), Attribute::S(format!("{number:05}").into())));
        let item = Attributes::new(item).expect("each name once");
        text += &format!("{{\"Item\":{}}}\n", serde_json::to_string(&item).expect("JSON"));
    }
    let world = world();
    let file = world.file("items.json", &text);
    world.run("ddb-import", &[&file]).succeeds().says("400 written, 0 rejected");
    assert_eq!(table(&world, "cruddur-messages"), sorted(&text));
    world.run("ddb-export", &["--out", "dump.json.gz"]).succeeds();
    world.run("ddb-schema-load", &["--table", "copy"]).succeeds();
    let dump = world.folder().join("dump.json.gz").display().to_string();
    world.run("ddb-import", &[&dump, "--table", "copy"]).succeeds().says("400 written, 0 rejected");
    assert_eq!(table(&world, "copy"), sorted(&text));
}
