//! The child process that looks into a model: it opens its files, gives up everything else, and reads.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sha2::{Digest, Sha256};

use super::super::card::{Card, TOKENIZER_BYTES_MAX};
use super::super::faults::damaged;
use super::super::header::Header;
use super::super::options::{Message, Role};
use super::super::template::Template;
use super::words::{self, CARD_BYTES_MAX, CARD_FILE};
use super::{CheckedFile, Line, Order};
use crate::base::confine;
use crate::base::fault::Fault;
use crate::base::tasks::caught;

/// The tokenizer that may lie beside the weights.
const TOKENIZER: &str = "tokenizer.json";
/// What may lie beside that.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// How much is hashed at once.
const HASH_BLOCK: usize = 1 << 20;
/// How much is hashed between two words to the parent.
const HASHED_PER_LINE: u64 = 256 << 20;
/// What a parser says goes to the log up to this many characters.
const CAUSE_CHARS_MAX: usize = 500;

/// A file that was opened before everything else was given up.
struct Open {
    name: String,
    file: File,
}

/// What the program does under [`super::VERB`], before anything else starts: looks into a folder and
/// answers, line by line, on its standard output. `args` are those after the verb.
///
/// Exit code 0 with an answer, 1 when it cannot be given, 2 for a wrong command line.
pub fn probe_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some((folder, order)) = parse(args) else { return ExitCode::from(2) };
    // A panic is an answer here, not a message on a terminal.
    std::panic::set_hook(Box::new(|_| {}));
    let opened = open(&folder, &order.files);
    if confine::limit(order.memory_bytes, order.cpu_seconds).is_err() {
        return ExitCode::FAILURE;
    }
    let confined = confine::silence();
    let looked = opened.and_then(|mut files| caught(|| look(&mut files)));
    let line = match looked {
        Ok((card, files)) => Line::Checked { card: Box::new(card), files, confined },
        Err(fault) => Line::Refused {
            code: fault.code.to_owned(),
            cause: fault.cause.map(|c| c.to_string().chars().take(CAUSE_CHARS_MAX).collect()),
            message: fault.message,
        },
    };
    if say(&line).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Option<(PathBuf, Order)> {
    let (mut folder, mut order) = (None, None);
    while let Some(flag) = args.next() {
        let value = args.next()?;
        match flag.to_str()? {
            "--folder" => folder = Some(PathBuf::from(value)),
            "--order" => order = serde_json::from_str(value.to_str()?).ok(),
            _ => return None,
        }
    }
    Some((folder?, order?))
}

fn open(folder: &Path, names: &[String]) -> Result<Vec<Open>, Fault> {
    let open = |name: &String| {
        let file = File::open(folder.join(name))
            .map_err(|e| damaged(format!("{name} cannot be opened.")).because(e))?;
        Ok(Open { name: name.clone(), file })
    };
    names.iter().map(open).collect()
}

fn say(line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()
}

/// The model's card and its files' hashes. What cannot be understood is found before the long work.
fn look(files: &mut [Open]) -> Result<(Card, Vec<CheckedFile>), Fault> {
    let tokenizer = whole(files, TOKENIZER, TOKENIZER_BYTES_MAX)?;
    let config = whole(files, TOKENIZER_CONFIG, TOKENIZER_BYTES_MAX)?;
    let words = whole(files, CARD_FILE, CARD_BYTES_MAX)?;
    let weights = files.first_mut().ok_or_else(|| damaged("There are no weights."))?;
    let header = Header::read(&mut weights.file)?;
    let mut card = Card::of(&header, tokenizer.is_some());
    try_out(&mut card, &header, tokenizer.as_deref(), config.as_deref())?;
    if let Some(bytes) = words {
        words::apply(&mut card, &bytes)?;
    }
    let mut hashed = Hashed::default();
    let files = files.iter_mut().map(|open| hashed.add(open)).collect::<Result<_, _>>()?;
    Ok((card, files))
}

/// Does what the model will be asked to do, as far as that goes without its weights. What nothing here
/// does is written into the card; what contradicts itself is a fault.
fn try_out(
    card: &mut Card,
    header: &Header,
    tokenizer: Option<&[u8]>,
    config: Option<&[u8]>,
) -> Result<(), Fault> {
    if !card.runnable {
        return Ok(());
    }
    let said = [Message::new(Role::System, "Be kind."), Message::new(Role::User, "Who are you?")];
    let template = Template::of_files(header, config);
    let written = template.and_then(|template| {
        card.template = template.kind();
        template.render(&said)
    });
    let pieces = note(card, written)?.unwrap_or_default();
    card.has_template |= card.template == super::super::template::TemplateKind::Own;
    #[cfg(feature = "models")]
    {
        let shape = super::super::network::Shape::of(header);
        note(card, shape)?;
        let read = super::super::vocabulary::Vocabulary::of(header, tokenizer);
        if let Some(vocabulary) = note(card, read)? {
            vocabulary.prompt(&pieces)?;
        }
    }
    #[cfg(not(feature = "models"))]
    let _ = (pieces, tokenizer);
    Ok(())
}

/// What came of a trial; what is not read here goes into the card.
fn note<T>(card: &mut Card, tried: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match tried {
        Ok(made) => Ok(Some(made)),
        Err(fault) if fault.code == "model_unsupported" => {
            card.refuse(&fault.message);
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

/// The bytes of a small file, when there is one of this name.
fn whole(files: &mut [Open], name: &str, most: u64) -> Result<Option<Vec<u8>>, Fault> {
    let Some(open) = files.iter_mut().find(|open| open.name == name) else { return Ok(None) };
    let mut bytes = Vec::new();
    (&mut open.file)
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| damaged(format!("{name} cannot be read.")).because(e))?;
    if bytes.len() as u64 > most {
        return Err(damaged(format!("{name} is longer than {most} bytes.")));
    }
    Ok(Some(bytes))
}

/// Bytes hashed so far, and of these how many the parent knows of.
#[derive(Default)]
struct Hashed {
    bytes: u64,
    said: u64,
}

impl Hashed {
    fn add(&mut self, open: &mut Open) -> Result<CheckedFile, Fault> {
        let unread = |e: io::Error| damaged(format!("{} cannot be read.", open.name)).because(e);
        open.file.seek(SeekFrom::Start(0)).map_err(unread)?;
        let mut hasher = Sha256::new();
        let mut block = vec![0; HASH_BLOCK];
        let mut bytes = 0_u64;
        loop {
            let count = match open.file.read(&mut block) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(unread)?,
            };
            if count == 0 {
                break;
            }
            hasher.update(block.get(..count).unwrap_or_default());
            bytes = bytes.saturating_add(count as u64);
            self.more(count as u64)?;
        }
        Ok(CheckedFile { name: open.name.clone(), bytes, sha256: hasher.finalize().into() })
    }

    fn more(&mut self, count: u64) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(count);
        if self.bytes - self.said < HASHED_PER_LINE {
            return Ok(());
        }
        self.said = self.bytes;
        say(&Line::Hashed(self.bytes)).map_err(|e| Fault::broken("telling the parent", e))
    }
}
