use super::*;

/// A field of a message, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number of more than ten bytes");
}

fn decode(mut bytes: &[u8]) -> Vec<(u64, Value)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            2 => {
                let len = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(len);
                bytes = rest;
                Value::Bytes(value.to_vec())
            }
            other => panic!("a field of type {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

fn messages(fields: &[(u64, Value)], number: u64) -> Vec<Vec<(u64, Value)>> {
    texts(fields, number).iter().map(|bytes| decode(bytes)).collect()
}

fn texts(fields: &[(u64, Value)], number: u64) -> Vec<Vec<u8>> {
    let of_number = fields.iter().filter(|(field, _)| *field == number);
    of_number
        .map(|(_, value)| match value {
            Value::Bytes(bytes) => bytes.clone(),
            Value::Number(_) => panic!("field {number} is a number"),
        })
        .collect()
}

fn number(fields: &[(u64, Value)], number: u64) -> u64 {
    match fields.iter().find(|(field, _)| *field == number) {
        Some((_, Value::Number(value))) => *value,
        None => 0,
        other => panic!("{other:?}"),
    }
}

fn packed(fields: &[(u64, Value)], number: u64) -> Vec<u64> {
    let list = texts(fields, number).concat();
    let mut rest = list.as_slice();
    std::iter::from_fn(|| (!rest.is_empty()).then(|| varint(&mut rest))).collect()
}

fn mapping(memory: std::ops::Range<u64>, path: &str) -> Mapping {
    Mapping { memory, offset: 0x1000, path: path.to_owned(), is_program: false }
}

#[test]
fn a_profile_says_where_threads_were_and_what_called_that() {
    let mut profile = Profile::new(1_700_000_000);
    profile.took = Duration::from_millis(1500);
    profile.add("worker", [0x1010, 0x1101, 0x9999].into(), 2);
    profile.add("worker", [0x1010, 0x1101, 0x9999].into(), 3);
    profile.add("control", [0x2020].into(), 300);
    let mappings = [mapping(0x1000..0x2000, "/bin/waypost"), mapping(0x2000..0x3000, "/lib/libc")];
    let sources = [
        Source { build_id: "c0ffee".to_owned(), has_symbols: true },
        Source { build_id: String::new(), has_symbols: false },
    ];
    // The second is a call, which stands before where it returns to.
    let name = |name: &str| Name { readable: name.to_owned(), symbol: format!("_{name}") };
    let names = BTreeMap::from([(0x1010, name("leaf")), (0x1100, name("caller"))]);
    let fields = decode(&encode(&profile, &mappings, &sources, &names));

    let strings: Vec<String> =
        texts(&fields, 6).into_iter().map(|text| String::from_utf8(text).unwrap()).collect();
    assert_eq!(strings[0], "", "as the format wants it");
    let text = |place: u64| strings[place as usize].as_str();
    let pair = |message: &Vec<(u64, Value)>| (text(number(message, 1)), text(number(message, 2)));
    let kinds = messages(&fields, 1);
    assert_eq!(kinds.iter().map(pair).collect::<Vec<_>>(), [("samples", "count"), ("cpu", "nanoseconds")]);
    assert_eq!(messages(&fields, 11).iter().map(pair).collect::<Vec<_>>(), [("cpu", "nanoseconds")]);
    assert_eq!(number(&fields, 9), 1_700_000_000_000_000_000);
    assert_eq!((number(&fields, 10), number(&fields, 12)), (1_500_000_000, 10_000_000));

    let locations = messages(&fields, 4);
    let functions = messages(&fields, 5);
    let place = |id: u64| {
        let location = &locations[id as usize - 1];
        assert_eq!(number(location, 1), id);
        let name = messages(location, 4).first().map(|line| {
            let function = &functions[number(line, 1) as usize - 1];
            assert_eq!(format!("_{}", text(number(function, 2))), text(number(function, 3)));
            text(number(function, 2))
        });
        (number(location, 2), number(location, 3), name)
    };
    let mut samples: Vec<_> = messages(&fields, 2)
        .iter()
        .map(|sample| {
            let label = &messages(sample, 3)[0];
            let places: Vec<_> = packed(sample, 1).into_iter().map(place).collect();
            (packed(sample, 2), pair(label), places)
        })
        .collect();
    samples.sort();
    assert_eq!(
        samples,
        [
            (
                vec![5, 50_000_000],
                ("thread", "worker"),
                vec![(1, 0x1010, Some("leaf")), (1, 0x1100, Some("caller")), (0, 0x9998, None)]
            ),
            (vec![300, 3_000_000_000], ("thread", "control"), vec![(2, 0x2020, None)]),
        ]
    );

    let shown: Vec<_> = messages(&fields, 3)
        .iter()
        .map(|m| {
            let numbers = [1, 2, 3, 4, 7].map(|field| number(m, field));
            (numbers, text(number(m, 5)), text(number(m, 6)))
        })
        .collect();
    assert_eq!(
        shown,
        [
            ([1, 0x1000, 0x2000, 0x1000, 1], "/bin/waypost", "c0ffee"),
            ([2, 0x2000, 0x3000, 0x1000, 0], "/lib/libc", "")
        ]
    );
}

#[test]
fn numbers_have_as_many_bytes_as_they_need() {
    let check = |value: u64, want: &[u8]| {
        let mut message = Message::default();
        message.varint(value);
        assert_eq!(message.0, want);
        assert_eq!(varint(&mut message.0.as_slice()), value);
    };
    check(0, &[0]);
    check(127, &[127]);
    check(128, &[0x80, 1]);
    check(300, &[0xac, 2]);
    check(u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
}

#[test]
fn a_profile_without_samples_is_one() {
    let fields = decode(&encode(&Profile::new(0), &[], &[], &BTreeMap::new()));
    assert_eq!((messages(&fields, 1).len(), messages(&fields, 2).len()), (2, 0));
}

#[test]
fn stacks_without_end_are_counted_as_lost() {
    let mut profile = Profile::new(0);
    for address in 0..20_010_u64 {
        profile.add("", [address].into(), 1);
    }
    profile.add("", [3].into(), 5);
    assert_eq!(profile.stacks().count(), 20_000);
    assert_eq!(profile.comments()[0], "samples lost: 10");
    assert!(profile.stacks().any(|(stack, ticks)| stack.addresses().eq([3]) && ticks == 6));
}
