// A phone in a browser, for the tests: JsSIP, which does what the page's server says,
// and says what happens, both a line each.
import JsSIP from "jssip";

const query = new URLSearchParams(location.search);
const ua = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(query.get("server"))],
  uri: query.get("uri"),
  password: query.get("password"),
  register_expires: 600,
});

let said = Promise.resolve();
function say(text) {
  said = said.then(() => fetch("/said", { method: "POST", body: text + "\n" }));
  return said;
}

ua.on("registered", () => say("registered"));
ua.on("registrationFailed", (e) => say("registration failed: " + e.cause));
ua.on("newMessage", (e) => {
  if (e.originator === "remote") {
    say(`${e.request.from.uri}: ${e.request.body}`);
  }
});
ua.start();

async function obey() {
  for (;;) {
    const [command, to, text] = await (await fetch("/told")).json();
    if (command === "quit") {
      ua.on("unregistered", () => say("quit"));
      ua.unregister();
      return;
    }
    const done = (e) => say(`${to} answered ${e.response ? e.response.status_code : e.cause}`);
    ua.sendMessage(to, text, { eventHandlers: { succeeded: done, failed: done } });
  }
}
obey();
