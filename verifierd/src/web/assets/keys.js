// Asks a security key what the page asks, and sends what it answers in a form of this page. Nothing is loaded from
// elsewhere, and nothing is kept.
"use strict";
(() => {
  const forms = document.querySelectorAll("form[data-key]");
  if (!window.PublicKeyCredential) return;

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=+$/, "");
  const known = (keys) => (keys || []).map((key) => ({ ...key, id: bytes(key.id) }));

  // What a route of ours says; a fault is thrown with its own words.
  const send = async (path, fields) => {
    const asked = fetch(path, { method: "POST", body: new URLSearchParams(fields), redirect: "error" });
    const reply = await asked.catch(() => null);
    if (!reply || reply.headers.get("content-type") !== "application/json")
      throw new Error("The server does not answer, or this page is too old. Load it again.");
    const said = await reply.json();
    if (said.to) {
      location.assign(said.to);
      return new Promise(() => {}); // The page is about to go: nothing follows.
    }
    if (said.fault) throw new Error(said.fault);
    return said;
  };

  const sign = async (asked) => {
    const options = asked.publicKey;
    options.challenge = bytes(options.challenge);
    options.allowCredentials = known(options.allowCredentials);
    const key = await navigator.credentials.get({ publicKey: options });
    const { authenticatorData, clientDataJSON, signature, userHandle } = key.response;
    return JSON.stringify({
      id: key.id,
      rawId: text(key.rawId),
      type: key.type,
      response: {
        authenticatorData: text(authenticatorData),
        clientDataJSON: text(clientDataJSON),
        signature: text(signature),
        userHandle: userHandle ? text(userHandle) : null,
      },
    });
  };

  const make = async (asked) => {
    const options = asked.publicKey;
    options.challenge = bytes(options.challenge);
    options.user.id = bytes(options.user.id);
    options.excludeCredentials = known(options.excludeCredentials);
    const key = await navigator.credentials.create({ publicKey: options });
    const { attestationObject, clientDataJSON } = key.response;
    return JSON.stringify({
      id: key.id,
      rawId: text(key.rawId),
      type: key.type,
      response: { attestationObject: text(attestationObject), clientDataJSON: text(clientDataJSON) },
    });
  };

  // One of the keys that there are, where no one-time password was typed.
  const prove = async (fields) => {
    if (fields.code) return fields;
    const answer = await sign(await send("/account/keys/challenge", { form: fields.form }));
    return { ...fields, answer };
  };

  const work = {
    "sign-in": async (form, { form: word }) => {
      const answer = await sign(await send("/sign-in/key/begin", { form: word }));
      await send("/sign-in/key", { form: word, answer });
    },
    add: async (form, fields) => {
      const asked = await send("/account/keys/begin", await prove(fields));
      await send("/account/keys/finish", { form: fields.form, answer: await make(asked) });
    },
    remove: async (form, fields) => {
      form.elements.answer.value = (await prove(fields)).answer || "";
      form.submit();
    },
  };

  for (const form of forms) {
    const fault = form.querySelector("[role=alert]");
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      fault.hidden = true;
      try {
        await work[form.dataset.key](form, Object.fromEntries(new FormData(form)));
      } catch (error) {
        fault.textContent =
          error.name === "NotAllowedError" ? "The key did not answer, or you stopped it." : error.message;
        fault.hidden = false;
      }
    });
  }
})();
