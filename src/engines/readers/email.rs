//! E-mail messages, by mail-parser: subject, people, date, body, names and texts of attachments.

use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};

use super::extract::{Composer, Extract, Limits};
use super::{faults, html, text};
use crate::base::clock::Moment;
use crate::base::fault::Fault;

/// A part of a message is named in the text up to this many people or files.
const NAMES_MAX: usize = 100;

/// Reads a message.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Extract, Fault> {
    let message = MessageParser::default()
        .parse(bytes)
        .filter(|m| m.subject().is_some() || m.from().is_some() || m.date().is_some())
        .ok_or_else(|| faults::damaged("The file is not an e-mail message."))?;
    if message.parts.len() > limits.entries_max {
        return Err(faults::too_large("The message has too many parts."));
    }
    let mut composer = Composer::new(limits);
    head(&message, &mut composer)?;
    body(&message, limits, &mut composer)?;
    attachments(&message, &mut composer)?;
    Ok(composer.finish())
}

fn head(message: &Message<'_>, composer: &mut Composer) -> Result<(), Fault> {
    if let Some(subject) = message.subject() {
        composer.title(subject);
        composer.heading(1, subject)?;
    }
    let sent = message.date().map(|d| Moment(d.to_timestamp().saturating_mul(1000)));
    composer.date(sent);
    let from = message.from().map(people).unwrap_or_default();
    composer.author(&from);
    let lines = [
        ("De / From", from),
        ("À / To", message.to().map(people).unwrap_or_default()),
        ("Cc", message.cc().map(people).unwrap_or_default()),
        ("Date", message.date().map(mail_parser::DateTime::to_rfc3339).unwrap_or_default()),
    ];
    let lines: Vec<String> = lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}: {}", value.replace(['\n', '\r'], " ")))
        .collect();
    composer.paragraph(&lines.join("\n"))
}

fn people(addresses: &Address<'_>) -> String {
    let each = addresses.iter().take(NAMES_MAX).filter_map(|a| match (a.name(), a.address()) {
        (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The text body as the sender wrote it, or the words of the page when there is only a page.
fn body(message: &Message<'_>, limits: &Limits, composer: &mut Composer) -> Result<(), Fault> {
    for part in message.text_bodies() {
        match &part.body {
            PartType::Text(words) => {
                text::paragraphs(words).try_for_each(|paragraph| composer.paragraph(paragraph))?;
            }
            PartType::Html(page) => {
                let page = html::read_text(page, limits)?;
                text::paragraphs(&page.text)
                    .try_for_each(|paragraph| composer.paragraph(paragraph))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Names every attachment, and gives the words of those that are text.
fn attachments(message: &Message<'_>, composer: &mut Composer) -> Result<(), Fault> {
    for part in message.attachments().take(NAMES_MAX) {
        let name = part.attachment_name().unwrap_or("?");
        composer.paragraph(&format!("Pièce jointe / Attachment: {name}"))?;
        if let PartType::Text(words) = &part.body {
            text::paragraphs(words).try_for_each(|paragraph| composer.paragraph(paragraph))?;
        }
    }
    Ok(())
}
