//! Server-sent events as they come in from another server: split anywhere, with comments, with any line end.

use crate::base::fault::Fault;

/// No event is longer, bytes: a chunk of an answer is a few hundred.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Puts chunks together into the data of whole events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// What came after the last line end.
    line: Vec<u8>,
    /// The data lines of the event that is not over yet.
    data: Vec<u8>,
    /// Whether there was a data line in it, if only an empty one.
    some: bool,
    /// Whether the last byte was a carriage return, whose line feed belongs to it.
    returned: bool,
}

impl Events {
    /// Takes a chunk and answers the data of the events that it completes.
    ///
    /// # Errors
    /// `upstream_failed` when an event is longer than any should be.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        let mut whole = Vec::new();
        for &byte in chunk {
            let feed_of_return = std::mem::take(&mut self.returned) && byte == b'\n';
            match byte {
                _ if feed_of_return => {}
                b'\r' | b'\n' => {
                    self.returned = byte == b'\r';
                    whole.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(super::failed(format!(
                    "It sends an event of more than {EVENT_BYTES_MAX} bytes."
                )));
            }
        }
        Ok(whole)
    }

    /// The data of an event that was not ended by an empty line before the connection was.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        self.end_line().or_else(|| self.end_event())
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.end_event();
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            if self.some {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.some = true;
        }
        // Comments, names and ids of events say nothing here.
        None
    }

    fn end_event(&mut self) -> Option<Vec<u8>> {
        let data = std::mem::take(&mut self.data);
        std::mem::take(&mut self.some).then_some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut all = Vec::new();
        for chunk in chunks {
            all.extend(events.push(chunk).unwrap());
        }
        all.extend(events.finish());
        all.into_iter().map(|data| String::from_utf8(data).unwrap()).collect()
    }

    #[test]
    fn any_line_end_and_any_cut_give_the_same_events() {
        let wanted = ["{\"a\":\"é\"}", "two\nlines", "", "[DONE]"];
        for end in ["\n", "\r\n", "\r"] {
            let text = format!(
                ": a comment{end}{end}event: x{end}data: {{\"a\":\"é\"}}{end}{end}\
                 data:two{end}data: lines{end}id: 7{end}{end}data:{end}{end}data: [DONE]{end}{end}"
            );
            let bytes = text.as_bytes();
            assert_eq!(read(&[bytes]), wanted, "{end:?}");
            for cut in 0..bytes.len() {
                let (a, b) = bytes.split_at(cut);
                assert_eq!(read(&[a, b]), wanted, "{end:?} cut at {cut}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(&single), wanted, "{end:?} byte by byte");
        }
    }

    #[test]
    fn an_event_that_the_end_cuts_short_is_still_read() {
        assert_eq!(read(&[b"data: a\n\ndata: b"]), ["a", "b"]);
        assert_eq!(read(&[b"data: a\n\ndata: b\n"]), ["a", "b"]);
        assert_eq!(read(&[b": only a comment"]), [""; 0]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        let block = vec![b'x'; 64 << 10];
        let refused = (0..64).find_map(|_| events.push(&block).err());
        assert_eq!(refused.map(|fault| fault.code), Some("upstream_failed"));
    }
}
