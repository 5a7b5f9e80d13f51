"""A mail server with moods: aiosmtpd, a second opinion on RFC 5321, keeps what it is handed.

Arguments: the port, the folder in which each mail is written as one file of JSON and in which the file "mood" says how
the next ones are met, and maybe a certificate and its key (PEM), without which STARTTLS is not offered.

Moods: "accept"; "later" (451) and "never" (550) to the recipient; "mute" takes the connection and says nothing;
"tarpit" takes the mail and says nothing; "lose" takes the mail, keeps it and hangs up; "quote" (554) and "babble" (554 in
bytes that are no UTF-8) keep it and refuse it with its own words.
"""

import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, folder = int(sys.argv[1]), sys.argv[2]
tls = None
if len(sys.argv) > 3:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[3], sys.argv[4])


def mood():
    with open(os.path.join(folder, "mood")) as file:
        return file.read()


def note(kind, what):
    """Writes one file, whole from the moment on which it has its name."""
    number = len([name for name in os.listdir(folder) if name.startswith(kind)])
    path = os.path.join(folder, "%s.%06d" % (kind, number))
    with open(path + ".new", "w") as file:
        json.dump(what, file)
    os.rename(path + ".new", path)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = {"later": "451 4.3.0 Come back later", "never": "550 5.1.1 No such mailbox"}.get(mood())
        if answer:
            note("refused", {"to": address, "answer": answer})
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: message.get_body((kind,)).get_content()
        note("mail", {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in message.items()],
            "text": part("plain"),
            "html": part("html"),
            "longest_line": max(map(len, envelope.content.split(b"\r\n"))),
            "encrypted": session.ssl is not None,
            "user": (session.auth_data or b"").decode() or None,
        })
        words = " ".join(part("plain").split())
        if mood() in ("quote", "babble"):
            note("refused", {"to": envelope.rcpt_tos[0], "answer": words})
        if mood() == "quote":
            # 512 bytes are the longest reply of RFC 5321; the words may be anywhere in the mail.
            lines = [words[at:at + 400] for at in range(0, len(words), 400)]
            return "".join("554-5.7.1 %s\r\n" % line for line in lines) + "554 5.7.1 that was it"
        if mood() == "babble":
            server.transport.write(b"554 \xff " + words.encode()[:400] + b"\r\n")
            server.transport.close()
        if mood() == "lose":
            server.transport.abort()
        if mood() == "tarpit":
            await asyncio.Event().wait()
        return "250 OK"


class Mute(asyncio.Protocol):
    def connection_made(self, transport):
        note("refused", {"to": None, "answer": "silence"})


def authenticate(server, session, envelope, mechanism, data):
    is_right = (data.login, data.password) == (b"postern", b"a password for the mail server")
    return AuthResult(success=is_right, auth_data=data.login if is_right else None)


async def main():
    loop = asyncio.get_running_loop()
    speaking = lambda: SMTP(
        Handler(), hostname="localhost", tls_context=tls, require_starttls=tls is not None,
        authenticator=authenticate, auth_require_tls=True, loop=loop,
    )
    make = lambda: Mute() if mood() == "mute" else speaking()
    server = await loop.create_server(make, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main())
