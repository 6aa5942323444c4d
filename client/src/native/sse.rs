//! Reads a stream of server-sent events (HTML Standard section 9.2.6), as far as frames need it: the
//! data of each event. Its type is in the frame once more, and the position is known from it.

/// The longest event that is read, in bytes; more of it is dropped, and no frame is as long.
const LONGEST: usize = 1024 * 1024;

/// What is left of a stream that was cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    data: Option<String>,
}

impl Lines {
    /// The data of the events that `bytes` bring to an end.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end(&line));
                }
                byte if self.line.len() < LONGEST => self.line.push(*byte),
                _ => {}
            }
        }
        events
    }

    fn end(&mut self, line: &[u8]) -> Option<String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return self.data.take();
        }
        let data = line.strip_prefix(b"data:")?;
        let data = String::from_utf8_lossy(data.strip_prefix(b" ").unwrap_or(data));
        match &mut self.data {
            Some(before) if before.len() < LONGEST => {
                before.push('\n');
                before.push_str(&data);
            }
            Some(_) => {}
            None => self.data = Some(data.into_owned()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_the_stream_is_cut() {
        let stream = "retry: 9\n\nevent: hello\r\nid: e:1\r\ndata: {\"a\":\"가\"}\r\n\r\n: beat\n\ndata:1\ndata: 2\n\ndata: half";
        for cut in 0..stream.len() {
            let (first, second) = stream.as_bytes().split_at(cut);
            let mut lines = Lines::default();
            let events = [lines.read(first), lines.read(second)].concat();
            assert_eq!(events, [r#"{"a":"가"}"#, "1\n2"]);
        }
    }

    #[test]
    fn what_is_longer_than_any_frame_is_cut_off() {
        let mut lines = Lines::default();
        let long = "x".repeat(LONGEST + 9);
        assert_eq!(lines.read(format!("data: {long}\n\n").as_bytes())[0].len(), LONGEST - 6);
        // Line by line it comes to an end as well.
        let full = "x".repeat(LONGEST - 6);
        let text = format!("data: {full}\ndata: abcde\ndata: no more\n\n");
        let event = &lines.read(text.as_bytes())[0];
        assert!(event.len() == LONGEST && event.ends_with("x\nabcde"));
        assert_eq!(LONGEST, 1 << 20);
    }
}
