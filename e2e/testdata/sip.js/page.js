// A phone in a browser, for the tests: SIP.js, with the same commands and lines as the page of
// JsSIP.
import { Messager, Registerer, RegistererState, UserAgent } from "sip.js";

const query = new URLSearchParams(location.search);
const uri = UserAgent.makeURI(query.get("uri"));
const ua = new UserAgent({
  uri,
  authorizationUsername: uri.user,
  authorizationPassword: query.get("password"),
  transportOptions: { server: query.get("server") },
  delegate: {
    onMessage: (message) => {
      message.accept();
      say(`${message.request.from.uri}: ${message.request.body}`);
    },
  },
});
const registerer = new Registerer(ua, { expires: 600 });

let said = Promise.resolve();
function say(text) {
  said = said.then(() => fetch("/said", { method: "POST", body: text + "\n" }));
  return said;
}

registerer.stateChange.addListener((state) => {
  if (state === RegistererState.Registered) {
    say("registered");
  }
});

async function obey() {
  await ua.start();
  await registerer.register();
  for (;;) {
    const [command, to, text] = await (await fetch("/told")).json();
    if (command === "quit") {
      await registerer.unregister({ requestDelegate: { onAccept: () => say("quit") } });
      return;
    }
    const done = (response) => say(`${to} answered ${response.message.statusCode}`);
    const requestDelegate = { onAccept: done, onReject: done };
    new Messager(ua, UserAgent.makeURI(to), text).message({ requestDelegate });
  }
}
obey();
