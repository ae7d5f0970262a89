//! A browser without a window, driven over its DevTools protocol through a pipe: the messages are
//! JSON, each ended by a NUL.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::context;

/// As Debian installs it.
pub(crate) const PROGRAM: &str = "/usr/bin/chromium";

/// Why there is no browser, if so.
pub(crate) fn missing() -> Option<String> {
    context::no_program(PROGRAM)
}

/// A browser that shows one page.
pub(crate) struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    next_id: u64,
    session: Option<String>,
    events: Vec<Value>,
}

impl Browser {
    /// Starts one that shows nothing.
    pub(crate) fn start() -> Result<Self, String> {
        let mut process = Command::new("sh")
            // It reads from descriptor 3 and writes to 4. It must end even if it hangs.
            .arg("-c")
            .arg(r#"exec timeout -k 5 500 "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#)
            .arg(PROGRAM)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args([
                "--no-first-run",
                "--disable-sync",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg("--remote-debugging-pipe")
            .arg(format!(
                "--user-data-dir={}",
                context::fresh_path("browser").display()
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{PROGRAM}: {error}"))?;
        let mut browser = Self {
            to: process.stdin.take().expect("it is piped"),
            from: BufReader::new(process.stdout.take().expect("it is piped")),
            process,
            next_id: 0,
            session: None,
            events: Vec::new(),
        };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method and gives its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.next_id += 1;
        let mut message = json!({ "id": self.next_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let sent = write!(self.to, "{message}\0").and_then(|()| self.to.flush());
        sent.map_err(|error| format!("{method}: the browser has gone: {error}"))?;
        loop {
            let mut answer = self.receive()?;
            if answer["id"] == self.next_id {
                if !answer["error"].is_null() {
                    return Err(format!("{method}: {}", answer["error"]));
                }
                return Ok(answer["result"].take());
            }
        }
    }

    fn receive(&mut self) -> Result<Value, String> {
        let mut message = Vec::new();
        let read = self.from.read_until(0, &mut message);
        read.map_err(|error| format!("the browser: {error}"))?;
        if message.pop() != Some(0) {
            return Err("the browser has gone".to_owned());
        }
        let message: Value = serde_json::from_slice(&message).map_err(|error| error.to_string())?;
        if message["id"].is_null() {
            self.events.push(message.clone());
        }
        Ok(message)
    }

    /// Shows a page, and waits until it is loaded.
    pub(crate) fn show(&mut self, url: &str) -> Result<(), String> {
        self.call("Page.navigate", json!({ "url": url }))?;
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            self.receive()?;
        }
        Ok(())
    }

    /// The value of a JavaScript expression.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let params = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", params)?;
        match &answer["exceptionDetails"] {
            Value::Null => Ok(answer["result"]["value"].take()),
            exception => Err(format!("{expression}: {exception}")),
        }
    }

    /// Presses the mouse button over the first element that the selector finds.
    pub(crate) fn click(&mut self, selector: &str) -> Result<(), String> {
        let place = self.evaluate(&format!(
            "(() => {{ const element = document.querySelector({selector:?}); \
             element.scrollIntoView({{ block: 'center' }}); \
             const box = element.getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ))?;
        for kind in ["mousePressed", "mouseReleased"] {
            self.call(
                "Input.dispatchMouseEvent",
                json!({
                    "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
                }),
            )?;
        }
        Ok(())
    }

    /// Where a point of the first element that the selector finds is in the window. `at`: across and down,
    /// from 0 to 1.
    fn place(&mut self, selector: &str, at: [f64; 2]) -> Result<Value, String> {
        let [x, y] = at;
        self.evaluate(&format!(
            "(() => {{ const element = document.querySelector({selector:?}); \
             element.scrollIntoView({{ block: 'center' }}); \
             const box = element.getBoundingClientRect(); \
             return [box.x + box.width * {x}, box.y + box.height * {y}]; }})()"
        ))
    }

    fn mouse(&mut self, kind: &str, place: &Value, buttons: u32) -> Result<(), String> {
        let button = if buttons > 0 { "left" } else { "none" };
        self.call(
            "Input.dispatchMouseEvent",
            json!({
                "type": kind, "x": place[0], "y": place[1], "button": button, "buttons": buttons,
                "clickCount": 1,
            }),
        )?;
        Ok(())
    }

    /// Waits until the page has been drawn: what scrolls hides what the pointer shows, and has to be over.
    fn settle(&mut self) -> Result<(), String> {
        let frames =
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
        let params = json!({ "expression": frames, "awaitPromise": true });
        self.call("Runtime.evaluate", params)?;
        Ok(())
    }

    /// Moves the pointer there.
    pub(crate) fn point(&mut self, selector: &str, at: [f64; 2]) -> Result<(), String> {
        let place = self.place(selector, at)?;
        self.settle()?;
        self.mouse("mouseMoved", &place, 0)
    }

    /// Drags from one point of an element to another.
    pub(crate) fn drag(
        &mut self,
        selector: &str,
        from: [f64; 2],
        to: [f64; 2],
    ) -> Result<(), String> {
        let (from, to) = (self.place(selector, from)?, self.place(selector, to)?);
        self.mouse("mouseMoved", &from, 0)?;
        self.mouse("mousePressed", &from, 1)?;
        self.mouse("mouseMoved", &to, 1)?;
        self.mouse("mouseReleased", &to, 1)
    }

    /// Presses a key that writes nothing.
    pub(crate) fn press(&mut self, key: &str) -> Result<(), String> {
        let code = match key {
            "Home" => 36,
            "End" => 35,
            "Escape" => 27,
            _ => return Err(format!("no code is known for the key {key}")),
        };
        self.settle()?;
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code }),
            )?;
        }
        Ok(())
    }

    /// What has happened so far of these kinds.
    pub(crate) fn events(&self, methods: &[&str]) -> Vec<&Value> {
        let is_meant = |event: &&Value| methods.iter().any(|&method| event["method"] == method);
        self.events.iter().filter(is_meant).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        if self.call("Browser.close", json!({})).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
