//! How deep a JSON Schema goes, its references followed, told without going deep oneself.

use std::collections::HashMap;

use serde_json::Value;

/// The longest chain of references and objects within one another: what reads a schema calls itself
/// for each, and its stack has an end.
const DEPTH_MAX: usize = 64;
/// What a schema may become when every reference is written out in its place, parts: what reads it
/// merges parts as often as they are named.
const SPREAD_MAX: usize = 50_000;
/// The keywords whose schemas say something of the same value.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];

/// Refuses a schema that is too deep, or refers to itself; the reason is for a person.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let Ok((_, spread)) = measure(schema, true, |value| edges(schema, value, true)) else {
        return Err("a part of it refers to itself".into());
    };
    let unknown = |place: String| {
        format!("its reference '{place}' is not to a place within it, as '#/$defs/name' is")
    };
    let parts = parts(schema)?;
    if let Some(place) = parts.iter().find_map(|part| unresolved(schema, part)) {
        return Err(unknown(place));
    }
    if spread > SPREAD_MAX {
        return Err(format!("written out it has {spread} parts, and {SPREAD_MAX} are the most"));
    }
    let depth = if let Ok((depth, _)) = measure(schema, false, |value| edges(schema, value, false))
    {
        depth
    } else {
        // It nests in itself, as a tree does. What reads it goes into each target once: no way
        // through it is longer than all of them one behind the other.
        let mut targets: Vec<&Value> =
            parts.iter().filter_map(|part| target(schema, part)).collect();
        targets.sort_by_key(|value| address(value));
        targets.dedup_by_key(|value| address(value));
        let own = |value: &Value| measure(value, false, inside).map_or(usize::MAX, |m| m.0);
        let all = targets.into_iter().chain([schema]).map(own);
        all.fold(0, |sum: usize, depth| sum.saturating_add(depth).saturating_add(1))
    };
    if depth > DEPTH_MAX {
        return Err(format!("it is {depth} parts deep, and {DEPTH_MAX} are the most"));
    }
    Ok(())
}

struct Circular;

fn address(value: &Value) -> usize {
    std::ptr::from_ref(value).addr()
}

/// The objects of a schema, itself first. Names that change what references mean are refused.
fn parts(schema: &Value) -> Result<Vec<&Value>, String> {
    let mut all = vec![schema];
    let mut at = 0;
    while let Some(part) = all.get(at).copied() {
        let renamed = at > 0 && part.get("$id").is_some_and(Value::is_string);
        if renamed || part.get("$dynamicRef").is_some_and(Value::is_string) {
            return Err("a part of it has a name or a reference of its own kind".into());
        }
        all.extend(inside(part));
        at += 1;
    }
    Ok(all)
}

/// The objects and lists directly within a value.
fn inside(value: &Value) -> Vec<&Value> {
    let nested = |value: &&Value| value.is_object() || value.is_array();
    match value {
        Value::Object(fields) => fields.values().filter(nested).collect(),
        Value::Array(items) => items.iter().filter(nested).collect(),
        _ => Vec::new(),
    }
}

/// What follows from a value: what lies in it, and what it refers to.
fn edges<'v>(schema: &'v Value, value: &'v Value, in_place: bool) -> Vec<&'v Value> {
    let mut edges = match value {
        Value::Object(fields) if in_place => {
            IN_PLACE.iter().filter_map(|keyword| fields.get(*keyword)).collect()
        }
        _ => inside(value),
    };
    edges.extend(target(schema, value));
    edges
}

/// What a value refers to.
fn target<'v>(schema: &'v Value, value: &Value) -> Option<&'v Value> {
    let place = value.get("$ref")?.as_str()?.strip_prefix('#')?;
    schema.pointer(&decoded(place)?)
}

/// The reference of a value, if it leads nowhere within the schema.
fn unresolved(schema: &Value, value: &Value) -> Option<String> {
    let place = value.get("$ref")?.as_str()?;
    target(schema, value).is_none().then(|| place.to_owned())
}

/// A pointer as a reference spells it, its `%41`s made letters.
fn decoded(place: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = place.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The most objects behind one another on a way from `root`, and how many parts all ways have;
/// each value is looked at once. With `every`, from all values within `root` and not only itself.
fn measure<'v>(
    root: &'v Value,
    every: bool,
    edges: impl Fn(&'v Value) -> Vec<&'v Value>,
) -> Result<(usize, usize), Circular> {
    // None while a value is on the way that is being looked at.
    let mut known: HashMap<usize, Option<(usize, usize)>> = HashMap::new();
    let mut starts = vec![root];
    let mut worst = (0, 0);
    while let Some(start) = starts.pop() {
        if every {
            starts.extend(inside(start));
        }
        let mut way = vec![(start, false)];
        while let Some((value, seen)) = way.pop() {
            let own = address(value);
            if seen {
                let own_depth = usize::from(value.is_object());
                let sum = edges(value).into_iter().fold((0, 1_usize), |(depth, spread), next| {
                    let below = known.get(&address(next)).copied().flatten().unwrap_or_default();
                    (below.0.max(depth), spread.saturating_add(below.1))
                });
                known.insert(own, Some((sum.0 + own_depth, sum.1)));
                continue;
            }
            match known.get(&own) {
                Some(Some(_)) => continue,
                Some(None) => return Err(Circular),
                None => {}
            }
            known.insert(own, None);
            way.push((value, true));
            for next in edges(value) {
                match known.get(&address(next)) {
                    Some(Some(_)) => {}
                    Some(None) => return Err(Circular),
                    None => way.push((next, false)),
                }
            }
        }
        let found = known.get(&address(start)).copied().flatten().unwrap_or_default();
        worst = (worst.0.max(found.0), worst.1.max(found.1));
    }
    Ok(worst)
}
