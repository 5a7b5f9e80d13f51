//! The arguments of our module's line, read as the module reads them: an unknown or malformed one refuses every
//! login of the service.

/// What of the arguments matters to the doctor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Where the module asks.
    pub socket: String,
    /// Whether an unavailable `verifierd` lets the rest of the stack decide.
    pub fails_open: bool,
}

/// Longest `prompt` in bytes, as in the module.
const PROMPT_BYTES_MAX: usize = 160;

/// Longest path of a socket in bytes: `sun_path` of Linux with its closing zero.
const SOCKET_BYTES_MAX: usize = 107;

/// Reads the words of the line; an error is the word and what would be right.
pub fn parse(words: &[String]) -> Result<Arguments, (String, &'static str)> {
    let mut parsed = Arguments { socket: wire::LOGIN_SOCKET.to_owned(), fails_open: false };
    let mut names: Vec<&str> = Vec::new();
    for word in words {
        let name = word.split('=').next().unwrap_or_default();
        let outcome = if names.contains(&name) {
            Err("an argument that was not given before")
        } else if name.ends_with("_first_pass") && names.iter().any(|name| name.ends_with("_first_pass")) {
            Err("either try_first_pass or use_first_pass")
        } else {
            take(&mut parsed, word)
        };
        outcome.map_err(|expected| (word.clone(), expected))?;
        names.push(name);
    }
    Ok(parsed)
}

fn take(parsed: &mut Arguments, word: &str) -> Result<(), &'static str> {
    match word.split_once('=') {
        Some(("socket", path)) => {
            parsed.socket = path.to_owned();
            is_socket_path(path)
                .then_some(())
                .ok_or("an absolute path without `.`, `..` or empty parts, at most 107 bytes")
        }
        Some(("timeout", text)) => is_timeout(text).then_some(()).ok_or("timeout=1s up to timeout=20s"),
        Some(("prompt", text)) => is_prompt(text)
            .then_some(())
            .ok_or("[prompt=text], at most 160 bytes, without control characters"),
        Some(("fail", value)) => {
            parsed.fails_open = value == "open";
            matches!(value, "open" | "closed").then_some(()).ok_or("fail=open or fail=closed")
        }
        Some(("recorder_unknown", value)) => matches!(value, "refuse" | "continue")
            .then_some(())
            .ok_or("recorder_unknown=refuse or recorder_unknown=continue"),
        None => matches!(word, "debug" | "quiet" | "try_first_pass" | "use_first_pass")
            .then_some(())
            .ok_or(EXPECTED),
        Some(_) => Err(EXPECTED),
    }
}

const EXPECTED: &str =
    "socket=, timeout=, prompt=, fail=, recorder_unknown=, try_first_pass, use_first_pass, debug or quiet";

fn is_socket_path(path: &str) -> bool {
    let parts = path.strip_prefix('/').unwrap_or_default();
    path.len() <= SOCKET_BYTES_MAX
        && !parts.is_empty()
        && parts.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn is_timeout(text: &str) -> bool {
    let digits = text.strip_suffix('s').unwrap_or_default();
    let plain = matches!(digits.len(), 1..=2) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain && digits.parse().is_ok_and(|seconds: u8| (1..=20).contains(&seconds))
}

fn is_prompt(text: &str) -> bool {
    !text.is_empty() && text.len() <= PROMPT_BYTES_MAX && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[&str]) -> Result<Arguments, (String, &'static str)> {
        parse(&line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_the_module_takes_is_taken() {
        let line = [
            "socket=/run/x/y.sock",
            "timeout=20s",
            "prompt=Code, please: ",
            "fail=open",
            "recorder_unknown=continue",
            "debug",
            "quiet",
        ];
        let expected = Arguments { socket: "/run/x/y.sock".into(), fails_open: true };
        assert_eq!(check(&line), Ok(expected));
        assert!(!check(&["fail=closed", "try_first_pass"]).expect("both are right").fails_open);
        assert_eq!(check(&[]).expect("nothing is right").socket, wire::LOGIN_SOCKET);
    }

    /// The same words as in the module's own test.
    #[test]
    fn what_the_module_refuses_is_refused() {
        let lines: [&[&str]; 34] = [
            &[""],
            &["nullok"],
            &["Debug"],
            &["debug=1"],
            &["quiet="],
            &["fail"],
            &["fail=OPEN"],
            &["fail="],
            &["fail=open", "fail=closed"],
            &["debug", "debug"],
            &["timeout"],
            &["timeout=5"],
            &["timeout=0s"],
            &["timeout=21s"],
            &["timeout=5m"],
            &["timeout=+5s"],
            &["timeout=5.0s"],
            &["timeout=005s"],
            &["timeout=s"],
            &["timeout=-1s"],
            &["socket=run/x"],
            &["socket="],
            &["socket=/"],
            &["socket=/run/../x"],
            &["socket=/run/./x"],
            &["socket=/run//x"],
            &["socket=/run/x/"],
            &["socket=@abstract"],
            &["socket=/run/x", "socket=/run/y"],
            &["recorder_unknown="],
            &["recorder_unknown=off"],
            &["prompt="],
            &["prompt=a\x1b[0m"],
            &["try_first_pass", "use_first_pass"],
        ];
        for line in lines {
            assert!(check(line).is_err(), "{line:?} was taken");
        }
        assert!(check(&[&format!("prompt={}", "x".repeat(161))]).is_err());
        assert!(check(&[&format!("socket=/{}", "x".repeat(107))]).is_err());
    }

    #[test]
    fn every_argument_of_the_recipes_is_taken() {
        let recipes = include_str!("../../../docs/recipes.md");
        let (_, table) = recipes.split_once("| argument | |").expect("the table of arguments");
        let (table, _) = table.split_once("\n\n").expect("its end");
        let mut seen = 0;
        for row in table.lines().filter(|row| row.starts_with("| `")) {
            let cell = row.split('|').nth(1).expect("a first cell");
            for word in cell.split('`').skip(1).step_by(2) {
                let word = word.trim_start_matches('[').trim_end_matches(']');
                assert!(check(&[word]).is_ok(), "{word}");
                seen += 1;
            }
        }
        assert!(seen >= 8, "{seen} arguments in the table");
    }
}
