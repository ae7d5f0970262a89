use std::ops::Range;

/// A section of a document whose commands can be run: its `sh` blocks, in order, are one script.
#[derive(Debug, PartialEq, Eq)]
pub struct Recipe<'a> {
    /// The section's heading.
    pub heading: &'a str,
    /// What is to be typed.
    pub steps: Vec<Step<'a>>,
}

/// An `sh` block, and the `text` block after it.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The commands, whole lines.
    pub commands: &'a str,
    /// Where in the document it says what they print, if it does: whole lines.
    pub output: Option<Range<usize>>,
}

const FENCE: &str = "```";

impl<'a> Recipe<'a> {
    /// The sections of the second level that have an `sh` block.
    ///
    /// # Errors
    /// A block that has no end, and an `sh` block before the first such section.
    pub fn all(document: &'a str) -> Result<Vec<Self>, String> {
        let mut recipes: Vec<Self> = Vec::new();
        // Whether what follows may still be the output of the last step.
        let mut awaits_output = false;
        let mut lines = Lines { document, at: 0 };
        while let Some(line) = lines.next() {
            let line = line.trim_end();
            if let Some(heading) = line.strip_prefix("## ") {
                recipes.push(Self {
                    heading,
                    steps: Vec::new(),
                });
            }
            let Some(language) = line.strip_prefix(FENCE) else {
                awaits_output &= line.is_empty();
                continue;
            };
            let begin = lines.at;
            let end = lines.skip_block(line)?;
            let steps = recipes.last_mut().map(|recipe| &mut recipe.steps);
            match (language, steps) {
                ("sh", None) => return Err(format!("before the first section: {line}")),
                ("sh", Some(steps)) => steps.push(Step {
                    commands: &document[begin..end],
                    output: None,
                }),
                ("text", Some(steps)) if awaits_output => {
                    if let Some(step) = steps.last_mut() {
                        step.output = Some(begin..end);
                    }
                }
                _ => {}
            }
            awaits_output = language == "sh";
        }
        recipes.retain(|recipe| !recipe.steps.is_empty());
        Ok(recipes)
    }

    /// The document with these outputs, one for each step, where it shows any.
    pub fn with_outputs(&self, document: &str, outputs: &[String]) -> String {
        let mut document = document.to_owned();
        for (step, output) in self.steps.iter().zip(outputs).rev() {
            if let Some(place) = &step.output {
                let lines: Vec<_> = output.trim_end().lines().map(str::trim_end).collect();
                document.replace_range(place.clone(), &(lines.join("\n") + "\n"));
            }
        }
        document
    }
}

/// A document's lines, and where in it they are.
struct Lines<'a> {
    document: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    /// Goes behind the end of the block; gives where its content ends.
    fn skip_block(&mut self, begin: &str) -> Result<usize, String> {
        loop {
            let end = self.at;
            match self.next() {
                Some(line) if line.trim_end() == FENCE => return Ok(end),
                Some(_) => {}
                None => return Err(format!("a block has no end: {begin}")),
            }
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let line = self.document[self.at..].split_inclusive('\n').next()?;
        self.at += line.len();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Title

```console
$ not a recipe
```

## One

```sh
# a comment
false && \\
true
```

```text
old
```

```sh
ls
```

Words.

```text
no output
```

## None

```text
nothing
```

## Two

```sh
pwd
```
```text
/
```
";

    #[test]
    fn sections_with_commands_are_recipes() {
        let recipes = Recipe::all(DOCUMENT).unwrap();
        let shown: Vec<_> = recipes
            .iter()
            .map(|recipe| {
                let steps = recipe.steps.iter().map(|step| {
                    let output = step.output.clone().map(|range| &DOCUMENT[range]);
                    (step.commands, output)
                });
                (recipe.heading, steps.collect::<Vec<_>>())
            })
            .collect();
        let one = vec![
            ("# a comment\nfalse && \\\ntrue\n", Some("old\n")),
            ("ls\n", None),
        ];
        let two = vec![("pwd\n", Some("/\n"))];
        assert_eq!(shown, [("One", one), ("Two", two)]);
    }

    #[test]
    fn outputs_are_replaced_where_there_are_some() {
        let recipes = Recipe::all(DOCUMENT).unwrap();
        let outputs = ["new  \n\nlonger\n\n".to_owned(), "not shown\n".to_owned()];
        assert_eq!(
            recipes[0].with_outputs(DOCUMENT, &outputs),
            DOCUMENT.replace("old\n", "new\n\nlonger\n")
        );
    }

    #[test]
    fn refuses_a_block_that_can_not_be_run() {
        assert!(Recipe::all("```sh\nls\n```\n").is_err());
        assert!(Recipe::all("## One\n```sh\nls\n").is_err());
    }
}
