//! What is shown of records that Firehose gave up, and of their way back.

use std::collections::BTreeMap;

use crate::redrive::undelivered::{File, Place, Sent};
use crate::report::out::outln;
use crate::report::style::Style;
use crate::status::{metrics::now, span};

/// The files, and what is in the first of them.
pub fn show(place: &Place, files: &[File], style: &Style) {
    let Place {
        delivery,
        stream,
        bucket,
        ..
    } = place;
    if files.is_empty() {
        outln!("{delivery}: {}", style.good("gave no record up"));
        return;
    }
    let count = style.error(&format!("{} files", files.len()));
    outln!("{delivery}: {count} of records that Firehose gave up, which go back to {stream}");
    let shown = files.iter().filter_map(|file| Some((file, file.content.as_ref()?)));
    for (file, content) in shown.clone() {
        let since = span(now() - file.written_at);
        outln!("  {since} ago  s3://{bucket}/{}  {} records", file.key, content.records);
        for (why, count) in &content.why {
            outln!("    {count}: {}", style.error(why));
        }
        for (reason, count) in &content.stay {
            outln!("    {count} stay here: {}", style.error(reason));
        }
    }
    let others = files.len() - shown.count();
    if others > 0 {
        outln!("  {}", style.dim(&format!("and {others} more")));
    }
}

/// What became of them.
pub fn tell(place: &Place, sent: &Sent, style: &Style) {
    let Place {
        delivery,
        stream,
        bucket,
        prefix,
        ..
    } = place;
    let (records, files) = (style.good(&sent.records.to_string()), sent.files);
    outln!("{delivery}: {records} records sent to {stream} again, {files} files deleted");
    staying(&sent.stay, style);
    if !sent.is_whole() {
        let next = format!(
            "they are in s3://{bucket}/{prefix}: mend what writes them, have their rows read again, then delete the files"
        );
        outln!("  {}", style.dim(&next));
    }
}

fn staying(stay: &BTreeMap<String, u64>, style: &Style) {
    for (reason, count) in stay {
        outln!("  {} stay: {reason}", style.error(&count.to_string()));
    }
}
