//! What holds of any bytes that may be a domain name, in wire form or in text.

use waypost::wire::Name;

/// The first byte says where in the rest the name begins.
pub(super) fn hold(bytes: &[u8]) {
    let Some((&at, message)) = bytes.split_first() else { return };
    let at = usize::from(at);
    let skipped = Name::skip(message, at);
    if let Ok((name, end)) = Name::parse(message, at) {
        assert_eq!(skipped, Ok(end), "both see where it ends");
        same_in_all_forms(&name);
    }
    if let Ok((name, end)) = Name::parse_plain(message, at) {
        assert_eq!(Name::parse(message, at), Ok((name.clone(), end)), "a plain name is one");
        assert!(message[at..end].eq_ignore_ascii_case(name.as_bytes()));
    }
    if let Ok(name) = Name::from_text(&String::from_utf8_lossy(message)) {
        same_in_all_forms(&name);
    }
}

fn same_in_all_forms(name: &Name) {
    let wire = name.as_bytes();
    assert!(wire.len() <= 255 && wire.last() == Some(&0));
    assert_eq!(Name::parse_plain(wire, 0), Ok((name.clone(), wire.len())), "its own wire form");
    let text = name.to_string();
    assert_eq!(Name::from_text(&text).as_ref(), Ok(name), "its own text");
    let mut plain = [0; 300];
    if let Some(length) = name.write_plain_text(&mut plain) {
        assert_eq!(&plain[..length], text.as_bytes());
    }

    assert_eq!(name.labels().count(), name.label_count());
    assert_eq!(name.suffixes().count(), name.label_count() + 1);
    for (above, suffix) in name.suffixes().enumerate() {
        assert!(name.is_under(suffix));
        assert_eq!(name.ancestor(name.label_count() - above), suffix);
    }
    match name.parent() {
        Some(parent) => assert!(name.is_under(parent.as_bytes()) && !parent.is_under(wire)),
        None => assert!(name.is_root()),
    }
}
