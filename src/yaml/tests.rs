//! Tests of `yaml`.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(text: &str) -> Node {
    parse(text, "f.yaml", 1).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"))
}

fn told(text: &str) -> Vec<String> {
    parse(text, "f", 1).expect_err(text).iter().map(ToString::to_string).collect()
}

fn json_of(text: &str) -> Value {
    read(text).to_json()
}

fn places(node: &Node, found: &mut Vec<(u32, u32)>) {
    found.push((node.place.line, node.place.column));
    match &node.value {
        Yaml::List(items) => items.iter().for_each(|item| places(item, found)),
        Yaml::Map(entries) => entries.iter().for_each(|(key, value)| {
            found.push((key.place.line, key.place.column));
            places(value, found);
        }),
        _ => {}
    }
}

#[test]
fn every_key_and_value_knows_its_line_and_column() {
    let node = parse("a: 1.10\nb: [x, 'é', \"n\"]\nc:\n- 1\n-  k: v\n   l: |\n     text\nd:\n  e: f\ng:\n", "f.md", 11).unwrap();
    let mut found = Vec::new();
    places(&node, &mut found);
    let mut expected = vec![(11, 1), (11, 1), (11, 4), (12, 1), (12, 4), (12, 5), (12, 8), (12, 13)];
    expected.extend([
        (13, 1),
        (14, 1),
        (14, 3),
        (15, 4),
        (15, 4),
        (15, 7),
        (16, 4),
        (17, 6),
        (18, 1),
        (19, 3),
        (19, 3),
        (19, 6),
        (20, 1),
        (20, 1),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn columns_count_characters() {
    let Yaml::Map(entries) = read("{é: ü, z: 1}").value else { panic!() };
    assert_eq!((entries[1].0.place.column, entries[1].1.place.column), (8, 11));
}

#[test]
fn plain_scalars_keep_their_text() {
    let text = "[1.10, no, 010, 12:30:45, 1_000, 0x1F, \"1.10\", '~', ~, null, true, a b]";
    let Yaml::List(items) = read(text).value else { panic!() };
    let scalars: Vec<Option<&str>> = items.iter().map(Node::scalar).collect();
    let expected = ["1.10", "no", "010", "12:30:45", "1_000", "0x1F", "1.10", "~", "", "", "true", "a b"];
    assert_eq!(scalars, expected.map(|text| (!text.is_empty()).then_some(text)));
    assert_eq!(items[6].value, Yaml::Quoted("1.10".into()));
}

#[test]
fn json_follows_the_core_rules_and_loses_nothing() {
    let text = "[1, -7, +3, 1.5, .5, 1e3, 0x1F, 0o17, true, False, null, '1', no, on, 010, 1_000, 12:30:45, .inf, 1e400, 123456789012345678901234567890, 18446744073709551615, 9007199254740993, -, ., 1., e5, 0x, -0x1, 1.2.3]";
    let expected = json!([
        1,
        -7,
        3,
        1.5,
        0.5,
        1000.0,
        31,
        15,
        true,
        false,
        null,
        "1",
        "no",
        "on",
        "010",
        "1_000",
        "12:30:45",
        ".inf",
        "1e400",
        "123456789012345678901234567890",
        18446744073709551615u64,
        9007199254740993u64,
        "-",
        ".",
        1.0,
        "e5",
        "0x",
        "-0x1",
        "1.2.3"
    ]);
    assert_eq!(json_of(&text.replace("-, ", "'-', ").replace(" ., ", " '.', ")), expected);
}

#[test]
fn json_comes_back_as_it_went() {
    let value = json!({"a": [1, 1.5, -2, true, null, "1", "true", "~", {"b": {}}, []], "": "x"});
    assert_eq!(Node::from_json(&value, &Place::file("f")).to_json(), value);
}

#[test]
fn json_is_read_as_yaml() {
    assert_eq!(json_of("{\"a\": [1, \"x\\u00e9\\n\\/\"],\n  \"b\":{\"c\":null}}"), json!({"a": [1, "xé\n/"], "b": {"c": null}}));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_give_the_same_tree() {
    let text = "a: |\n  x\n  y\nb:\n  - \"c\n    d\"\n  - e\n";
    assert_eq!(read(text), read(&text.replace('\n', "\r\n")));
    assert_eq!(read(text), read(&format!("\u{feff}{text}")));
}

#[test]
fn aliases_are_expanded_with_the_place_of_the_alias() {
    let node = read("a: &x [1, {b: 2}]\nc: *x\n");
    assert_eq!(node.to_json(), json!({"a": [1, {"b": 2}], "c": [1, {"b": 2}]}));
    let Yaml::Map(entries) = node.value else { panic!() };
    assert_eq!((entries[1].1.place.line, entries[1].1.place.column), (2, 4));
}

#[test]
fn duplicate_keys_name_both_lines_and_all_semantic_faults_come_at_once() {
    assert_eq!(
        told("a: 1\nb: !x 2\na: {c: 1, c: 2}\n<<: {d: 1}\n"),
        [
            "f:2:4: a YAML tag (`!…`) is not supported",
            "f:3:1: key `a` is written twice, first on line 1",
            "f:3:11: key `c` is written twice, first on line 3",
            "f:4:1: a merge key (`<<`) is not supported",
        ]
    );
}

#[test]
fn mistakes_are_named() {
    for (text, expected) in [
        ("a:\n\tb: 1\n", "f:2:1: a tab where YAML needs spaces"),
        ("a:\n  - b\n\t- c\n", "f:3:1: a tab where YAML needs spaces"),
        ("a: 'x\nb: 2\n", "f:1:4: a quote that is never closed"),
        ("a: \"x\nb: 2\n", "f:1:4: a quote that is never closed"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here; a file holds one"),
        ("a: x: y\n", "f:1:5: a `:` that begins no value here"),
        ("a: \"b\" c\n", "f:1:8: text after a closing quote"),
        ("a: *no\n", "f:1:4: an alias to nothing: no `&` anchor of this name comes before it"),
        ("a: &x [*x]\n", "f:1:8: an alias to a list or map that contains it"),
        ("a: {{ x }}\n", "f:1:5: a list or map cannot be a key; expected a text"),
        ("a: &x b\n*x : c\n", "f:2:1: an alias cannot be a key; expected a text"),
        ("a: @x\n", "f:1:4: `@` cannot begin a value"),
        ("a: \u{1b}x\n", "f:1:4: control character U+001B, which YAML does not allow"),
        ("a\u{0}b: 1", "f:1:2: control character U+0000, which YAML does not allow"),
        ("%YAML 1.2\n---\na: 1\n", "f:1:1: a YAML directive (`%…`) is not supported"),
        ("tests:\n  - name: x\n   expect: y\n", "f:3:4: the indentation does not fit the lines above"),
        ("a: - b\n", "f:1:4: a list item (`- `) cannot begin here"),
        ("a: \"\\d\"\n", "f:1:4: an unknown escape in double quotes"),
        ("a: [a, b]]\n", "f:1:10: a closing bracket without an opening one"),
        ("a: [a, b\n", "f:1:4: `[` is not closed"),
        ("a: [a, b}\n", "f:1:4: `[` is closed by `}`"),
        ("", "f:1:1: nothing is written here, or only comments"),
        ("# only\n\n# this\n", "f:1:1: nothing is written here, or only comments"),
        ("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n", "f:2:1: merge-conflict marker `<<<<<<<`"),
    ] {
        assert_eq!(told(text), [expected], "{text:?}");
    }
}

#[test]
fn nesting_is_capped() {
    let levels = limit::YAML_DEPTH;
    assert!(parse(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)), "f", 1).is_ok());
    assert!(told(&format!("{}{}", "[".repeat(levels + 1), "]".repeat(levels + 1)))[0].contains("nested deeper than 64 levels"));
    assert!(told(&"[".repeat(20_000))[0].contains("nested deeper than 64 levels"));
    assert!(told(&"{a: ".repeat(20_000))[0].contains("nested deeper than 64 levels"));
    assert!(told(&"- ".repeat(20_000))[0].contains("nested deeper than 64 levels"));
    let block: String = (0..600).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(told(&block)[0].contains("nested deeper than 64 levels"));
    let chain: String = (1..100).map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1)).collect();
    assert!(told(&format!("a0: &a0 x\n{chain}"))[0].contains("nested deeper than 64 levels"));
}

#[test]
fn bombs_are_refused() {
    let laughs: String =
        (1..20).map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","))).collect();
    assert!(told(&format!("a0: &a0 x\n{laughs}"))[0].contains("aliases expand to more than"));
    let quadratic = format!("a: &a {}\nb: [{}]\n", "x".repeat(80_000), vec!["*a"; 5_000].join(","));
    assert!(told(&quadratic)[0].contains("aliases expand to more than"));
    let wide = format!("a: &a [{}]\nb: *a\n", vec!["x"; 20_000].join(","));
    assert!(told(&wide)[0].contains("aliases expand to more than"));
    assert!(read(&format!("a: &a [{}]\nb: 1\n", vec!["x"; 20_000].join(","))).to_json().is_object(), "an unused anchor costs nothing");
    assert!(told(&"a".repeat(limit::YAML_BYTES as usize + 1))[0].contains("bytes of YAML; at most"));
}

#[test]
fn readers_name_what_they_found_and_go_on() {
    let node = read("a: x\nb: [1]\nc: {d: 1}\ne:\nf: \"12\"\ng: yes\nh: ''\ni: 1.5\nj: 70000\n");
    let map = node.as_any_map(&mut Faults::new()).unwrap();
    let mut faults = Faults::new();
    let get = |key| map.get(key).unwrap();
    get("a").as_list(&mut faults);
    get("b").as_text(&mut faults);
    get("c").as_number(&mut faults);
    get("e").as_list(&mut faults);
    get("f").as_number(&mut faults);
    get("g").as_flag(&mut faults);
    get("h").as_text(&mut faults);
    get("i").as_whole(1, 10, &mut faults);
    get("j").as_map(&["x"], &mut faults);
    get("a").as_choice(&[("y", 1), ("zebra", 2)], &mut faults);
    get("c").as_map(&["e"], &mut faults);
    get("b").as_duration(&mut faults);
    get("i").as_date(&mut faults);
    get("a").as_moment(&mut faults);
    map.require("k", &mut faults);
    let found: Vec<String> =
        faults.iter().map(|fault| format!("{fault} | {}", fault.help.as_deref().unwrap_or("")).trim_end().to_owned()).collect();
    insta::assert_snapshot!(found.join("\n"), @r"
    f.yaml:1:4: expected a list, found the text `x` |
    f.yaml:2:4: expected a text, found a list |
    f.yaml:3:4: expected a number, found a map |
    f.yaml:4:1: expected a list, found nothing | write a value, or remove the key
    f.yaml:5:4: expected a number, found the text `12` | remove the quotes
    f.yaml:6:4: expected `true` or `false`, found the text `yes` | write `true` or `false`
    f.yaml:7:4: expected a text, found an empty one | write a value, or remove the key
    f.yaml:8:4: expected a whole number from 1 to 10, found the number `1.5` |
    f.yaml:9:4: expected a map, found the number `70000` |
    f.yaml:1:4: expected one of y, zebra; found `x` | did you mean `y`?
    f.yaml:3:5: unknown key `d` | did you mean `e`?
    f.yaml:2:4: expected a duration with a unit, as in `30s`, `15m`, `2h` or `1d`, found a list |
    f.yaml:8:4: expected a date as in `2026-12-31`, found the number `1.5` |
    f.yaml:1:4: expected a time with an offset, found the text `x` | write it as in `2026-03-14T07:55Z`, `2026-03-14T08:55+01:00` or `+30m` after onset
    f.yaml:1:1: key `k` is missing | add `k: …`
    ");
}

#[test]
fn a_flood_of_unknown_keys_is_counted() {
    let node = read(&(0..1000).map(|index| format!("k{index}: 1\n")).collect::<String>());
    let mut faults = Faults::new();
    node.as_map(&["known"], &mut faults);
    assert_eq!(faults.iter().count(), 51);
    assert_eq!(faults.iter().last().unwrap().to_string(), "f.yaml:51:1: 950 more unknown keys from here on");
}

#[test]
fn texts_are_quoted_on_one_line_and_clipped() {
    assert_eq!(quote("it's \"x\"\n\u{1b}[31m"), "`it's \"x\"\\n\\u{1b}[31m`");
    assert_eq!(quote(&"é".repeat(100)), format!("`{}…`", "é".repeat(80)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&String::from_utf8_lossy(&bytes), "f", 1);
    }

    #[test]
    fn anything_that_looks_like_yaml_is_read_or_refused(text in "[-a-c:&*!|>'\"\\[\\]{}?,#%~\\n\\r\\t <é]{0,120}") {
        if let Ok(node) = parse(&text, "f", u32::MAX) {
            let _ = node.to_json();
        }
    }

    #[test]
    fn json_survives_yaml(value in json_values()) {
        let text = value.to_string();
        prop_assert_eq!(parse(&text, "f", 1).map(|node| node.to_json()), Ok(value));
    }
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[ -~é\n\t]{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map("[a-z \"#]{0,8}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
