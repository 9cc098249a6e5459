//! What people read: subject, text, HTML, and JSON for a web hook.

use serde_json::{Value, json};

use super::notice::{Notice, State};

/// Longest error line that is told; the log has the rest.
const LONGEST_LINE: usize = 500;
/// Things that one letter tells in full.
const MOST_NOTICES: usize = 20;

/// Whose alarms these are.
pub struct About {
    /// The pipeline.
    pub pipeline: String,
    /// Its environment.
    pub environment: String,
}

/// One message to people.
pub struct Letter {
    /// One line that says it all.
    pub subject: String,
    /// For mail programs without HTML.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// The same for a web hook.
    pub json: Value,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Alarm => "ALARM",
            State::Recovered => "RECOVERED",
            State::Failed => "FAILED",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            State::Recovered => "#1a7f37",
            State::Alarm | State::Failed => "#b42318",
        }
    }
}

impl Letter {
    /// Writes of these notices, of which there is at least one.
    pub fn write(about: &About, notices: &[Notice]) -> Self {
        let subject = subject(about, notices);
        let told = notices.get(..MOST_NOTICES).unwrap_or(notices);
        let next = next(about);
        let more = match notices.len().saturating_sub(told.len()) {
            0 => String::new(),
            left => format!("… and {left} more; the command below shows every hop."),
        };
        let body = paragraphs(told);
        let text = format!(
            "Pipeline {} in {}\n\n{body}{}Next: {next}\n",
            about.pipeline,
            about.environment,
            if more.is_empty() {
                String::new()
            } else {
                format!("{more}\n\n")
            },
        );
        let html = html(about, told, &more, &next);
        let json = json!({
            "text": format!("{subject}\n\n{text}"),
            "pipeline": about.pipeline,
            "environment": about.environment,
            "alerts": told.iter().map(as_json).collect::<Vec<_>>(),
            "next": next,
        });
        Letter {
            subject,
            text,
            html,
            json,
        }
    }
}

fn next(about: &About) -> String {
    format!("pipectl status --env {}", about.environment)
}

fn subject(about: &About, notices: &[Notice]) -> String {
    let bad = notices.iter().filter(|notice| notice.is_bad()).count();
    let what = match (notices, bad) {
        ([only], _) => format!("{} {}", only.state.word(), only.hop),
        (_, 0) => format!("{} hops RECOVERED", notices.len()),
        (all, bad) if bad == all.len() => format!("{bad} hops in ALARM"),
        (all, bad) => format!("{bad} hops in ALARM, {} RECOVERED", all.len() - bad),
    };
    // A subject is one line of a mail's head.
    let what: String = what
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(150)
        .collect();
    format!("[{}/{}] {what}", about.pipeline, about.environment)
}

/// The facts about a notice, each with its label.
fn facts(notice: &Notice) -> Vec<(&'static str, String)> {
    let when = if notice.state == State::Alarm { "since" } else { "at" };
    let times = if notice.times > 1 {
        format!("{} times", notice.times)
    } else {
        String::new()
    };
    [
        ("what", notice.what.clone()),
        (when, notice.since.clone()),
        ("said", times),
        ("reason", notice.reason.clone()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

fn lines(notice: &Notice) -> impl Iterator<Item = String> + '_ {
    notice.lines.iter().map(|line| {
        let line = line.trim_end();
        match line.char_indices().nth(LONGEST_LINE) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or(line)),
            None => line.to_owned(),
        }
    })
}

fn paragraphs(notices: &[Notice]) -> String {
    let mut text = String::new();
    for notice in notices {
        text.push_str(&format!("{} {}\n", notice.state.word(), notice.hop));
        for (label, value) in facts(notice) {
            text.push_str(&format!("  {label:<7} {value}\n"));
        }
        if !notice.lines.is_empty() {
            text.push_str("  last error lines:\n");
            lines(notice).for_each(|line| text.push_str(&format!("    {line}\n")));
        }
        text.push('\n');
    }
    text
}

fn html(about: &About, notices: &[Notice], more: &str, next: &str) -> String {
    let mut html = format!(
        "<!doctype html><html><body style=\"font-family:sans-serif\"><p>Pipeline <b>{}</b> in <b>{}</b></p>",
        escaped(&about.pipeline),
        escaped(&about.environment)
    );
    for notice in notices {
        html.push_str(&format!(
            "<h3 style=\"color:{}\">{} {}</h3><table>",
            notice.state.colour(),
            notice.state.word(),
            escaped(&notice.hop)
        ));
        for (label, value) in facts(notice) {
            let value = escaped(&value);
            html.push_str(&format!(
                "<tr><td style=\"padding-right:1em\">{label}</td><td>{value}</td></tr>"
            ));
        }
        html.push_str("</table>");
        if !notice.lines.is_empty() {
            let lines: Vec<String> = lines(notice).map(|line| escaped(&line)).collect();
            html.push_str(&format!("<p>last error lines:</p><pre>{}</pre>", lines.join("\n")));
        }
    }
    if !more.is_empty() {
        html.push_str(&format!("<p>{}</p>", escaped(more)));
    }
    html.push_str(&format!("<p>Next: <code>{}</code></p></body></html>", escaped(next)));
    html
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

fn as_json(notice: &Notice) -> Value {
    json!({
        "state": notice.state.word(),
        "hop": notice.hop,
        "what": notice.what,
        "since": notice.since,
        "reason": notice.reason,
        "times": notice.times,
        "lines": lines(notice).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            pipeline: "shop".into(),
            environment: "prod".into(),
        }
    }

    fn notice(state: State, hop: &str) -> Notice {
        Notice {
            state,
            hop: hop.into(),
            what: "The function failed".into(),
            since: "2026-11-21 09:00:01 UTC".into(),
            reason: "1 > 0".into(),
            lines: vec!["<script>alert('&')</script>".into()],
            times: 3,
        }
    }

    #[test]
    fn a_letter_says_which_pipeline_hop_since_when_why_and_what_next() {
        let letter = Letter::write(&about(), &[notice(State::Alarm, "copy-errors")]);
        assert_eq!(letter.subject, "[shop/prod] ALARM copy-errors");
        insta::assert_snapshot!(letter.text, @r"
        Pipeline shop in prod

        ALARM copy-errors
          what    The function failed
          since   2026-11-21 09:00:01 UTC
          said    3 times
          reason  1 > 0
          last error lines:
            <script>alert('&')</script>

        Next: pipectl status --env prod
        ");
        assert_eq!(letter.json["alerts"][0]["hop"], "copy-errors");
    }

    #[test]
    fn nothing_breaks_out_of_the_html() {
        let mut wild = notice(State::Failed, "pipe <b>&\"");
        wild.what = "</td><img src=x>".into();
        let letter = Letter::write(&about(), &[wild]);
        assert!(
            letter
                .html
                .contains("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"),
            "{}",
            letter.html
        );
        assert!(letter.html.contains("pipe &lt;b&gt;&amp;&quot;"), "{}", letter.html);
        assert!(
            !letter.html.contains("<img") && !letter.html.contains("<script"),
            "{}",
            letter.html
        );
    }

    #[test]
    fn subjects_count_and_stay_one_line() {
        let (bad, good) = (notice(State::Alarm, "a"), notice(State::Recovered, "b"));
        let subject = |notices: &[Notice]| Letter::write(&about(), notices).subject;
        assert_eq!(subject(std::slice::from_ref(&good)), "[shop/prod] RECOVERED b");
        assert_eq!(
            subject(&[bad.clone(), good.clone()]),
            "[shop/prod] 1 hops in ALARM, 1 RECOVERED"
        );
        assert_eq!(subject(&[bad.clone(), bad]), "[shop/prod] 2 hops in ALARM");
        assert_eq!(subject(&[good.clone(), good]), "[shop/prod] 2 hops RECOVERED");
        let long = subject(&[notice(State::Failed, &format!("x\r\nBcc: y{}", "z".repeat(500)))]);
        assert!(!long.contains(['\r', '\n']) && long.chars().count() < 200, "{long}");
    }

    #[test]
    fn long_lines_and_many_notices_are_cut() {
        let mut long = notice(State::Alarm, "a");
        long.lines = vec!["é".repeat(10_000)];
        let letter = Letter::write(&about(), &vec![long; 100]);
        assert!(letter.text.contains("and 80 more"));
        assert!(letter.text.len() < 40_000, "{}", letter.text.len());
    }
}
