"""The broker's HTTP: the issuer directory, the page, the providers' ways there and back, tokens."""

from __future__ import annotations

import json
import re
from hashlib import sha256

from flask import Flask, Response, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from infra.broker.configuration import Configuration
from infra.broker.desk import Desk, Granted, Sent
from infra.broker.errors import Code, LimitReached, NoPass, NotSigned, SignerUnavailable, Word
from infra.broker.grants import LIFETIME
from infra.broker.issuance import directory
from infra.broker.journal import Event, Journal

MOST_BODY = 4096  # bytes; a token request has 259
DIRECTORY_TYPE = "application/private-token-issuer-directory"
REQUEST_TYPE = "application/private-token-request"
RESPONSE_TYPE = "application/private-token-response"
PASS, VISIT = "pass", "visit"  # the cookies; of visits there may be several
MOST_VISITS = 4  # that one browser may be at, each in a tab of its own
# A browser takes a cookie of this prefix from this very host by TLS alone, so no neighbour's page
# can put its own grant or visit in a young person's place.
HOST_ONLY = "__Host-"
SOON = 2  # seconds, after which a key's device may have come back
_NAMED = 16  # hexadecimal digits of a state's digest in a cookie's name
PAGES = ("start", "finish")  # views that a person's browser is at, not a script

PROBLEMS: dict[Word, str] = {
    Word.REFUSED: "That did not show that you are under 18. You can try another way, or go back to"
    " the site you came from: it may have a way without a pass.",
    Word.CANCELLED: "You stopped, and that is fine. You can choose again whenever you like.",
    Word.UNAVAILABLE: "This way is not working right now. It is not your fault. Try another way, or"
    " try again in a few minutes.",
    Word.ENDED: "This took too long, or the page was opened twice, so we stopped. You can start"
    " again here.",
    Word.LIMIT: "You have had all your passes for today. You can come back tomorrow.",
}
_STATUS: dict[Code, int] = {
    Code.REQUEST_LENGTH: 422,
    Code.TOKEN_TYPE: 422,
    Code.KEY_UNKNOWN: 422,
    Code.BLINDED_RANGE: 422,
    Code.GRANT_MISSING: 403,
    Code.GRANT_USED_UP: 403,
    Code.PREDICATE: 403,
    Code.DAILY_LIMIT: 429,
    Code.SIGNER_UNAVAILABLE: 503,
    Code.CROSS_SITE: 403,
    Code.MEDIA_TYPE: 415,
    Code.TOO_LARGE: 413,
    Code.NOT_FOUND: 404,
    Code.METHOD: 405,
    Code.MALFORMED: 400,
    Code.INTERNAL: 500,
}
_BY_STATUS = {
    404: Code.NOT_FOUND,
    405: Code.METHOD,
    413: Code.TOO_LARGE,
    415: Code.MEDIA_TYPE,
    500: Code.INTERNAL,
}


def create_app(configuration: Configuration, desk: Desk, journal: Journal) -> Flask:
    """The application."""
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=MOST_BODY, MAX_FORM_MEMORY_SIZE=MOST_BODY)
    app.config.update(MAX_FORM_PARTS=20)
    _Views(configuration, desk).install(app)
    _install_errors(app, journal)
    _install_headers(app, _policy(desk))
    return app


class _Views:
    """The routes, over one desk."""

    def __init__(self, configuration: Configuration, desk: Desk) -> None:
        self._configuration = configuration
        self._desk = desk
        prefix = HOST_ONLY if configuration.secure else ""
        self._pass, self._visit = prefix + PASS, prefix + VISIT
        self._providers = [
            {
                "name": entry.name,
                "title": entry.title,
                "learns": entry.learns,
                "predicate": str(entry.predicate),
            }
            for entry in configuration.providers
        ]

    def install(self, app: Flask) -> None:
        routes = (
            ("/.well-known/private-token-issuer-directory", self.directory, "GET"),
            ("/pass", self.pass_page, "GET"),
            ("/providers/<name>/start", self.start, "POST"),
            ("/providers/<name>/return", self.finish, "GET"),
            ("/grant", self.grant, "GET"),
            ("/token-request", self.token_request, "POST"),
            ("/healthz", self.healthz, "GET"),
        )
        for rule, view, method in routes:
            app.add_url_rule(rule, view.__name__, view, methods=[method])

    def directory(self) -> Response:
        listed = directory(self._desk.keys.keys, self._providers)
        answer = Response(json.dumps(listed), content_type=DIRECTORY_TYPE)
        answer.headers["Cache-Control"] = "public, max-age=600"
        return answer

    def pass_page(self) -> str:
        """What brought the browser here stands in the fragment, which is never sent."""
        word = request.args.get("problem")
        problem = PROBLEMS.get(Word(word), "") if word in list(Word) else ""
        return render_template(
            "pass.html",
            development=self._configuration.development,
            returns=self._configuration.returns,
            providers=self._providers,
            problem=problem,
        )

    def start(self, name: str) -> Response:
        _only_from_here()
        if name not in self._desk.providers:
            return problem(Code.NOT_FOUND)
        answer = self._desk.start(name, request.form.to_dict())
        if isinstance(answer, Granted):
            return self._with_pass(answer)
        if isinstance(answer, Sent):
            return self._with_visit(_to(answer.url), answer, self._visit_cookie(answer.state))
        return self._page(answer.template, name)

    def finish(self, name: str) -> Response:
        if request.method == "HEAD":  # Flask adds it; whoever only looks must not use a visit up
            return problem(Code.METHOD)
        cookie = self._visit_cookie(request.args.get("state", ""))
        visit = request.cookies.get(cookie, "")
        try:
            answer = self._desk.finish(name, visit, request.args.to_dict())
        except NoPass as refusal:
            return self._without(_to_problem(refusal.word), cookie)
        if isinstance(answer, Granted):
            return self._without(self._with_pass(answer), cookie)
        return self._with_visit(self._page("pending.html", name), answer, cookie)

    def grant(self) -> Response:
        grant = self._desk.grant(request.cookies.get(self._pass, ""))
        if grant is None:
            return problem(Code.GRANT_MISSING, 404)
        left = {"predicate": str(grant.predicate), "left": grant.left}
        return Response(json.dumps(left), content_type="application/json")

    def token_request(self) -> Response:
        _only_from_here()
        # The type is no 'simple' one, so another site's page would need a leave we never give.
        if request.content_type != REQUEST_TYPE:
            return problem(Code.MEDIA_TYPE)
        signature = self._desk.issue(request.cookies.get(self._pass, ""), request.get_data())
        return Response(signature, content_type=RESPONSE_TYPE)

    def healthz(self) -> Response:
        """A site that sends people here may see first that somebody is there, and nothing else."""
        return Response(status=204, headers={"Cross-Origin-Resource-Policy": "cross-origin"})

    def _page(self, template: str, name: str) -> Response:
        again = url_for("finish", name=name)
        development = self._configuration.development
        return Response(render_template(template, name=name, again=again, development=development))

    def _with_pass(self, granted: Granted) -> Response:
        answer = _to("/pass")
        self._set_cookie(answer, self._pass, granted.grant)
        return answer

    def _with_visit(self, answer: Response, sent: Sent, cookie: str) -> Response:
        others = [name for name in request.cookies if self._is_visit(name) and name != cookie]
        # Browsers send the oldest cookies first (RFC 6265 section 5.4).
        for name in others[: max(0, len(others) - MOST_VISITS + 1)]:
            self._desk.leave(request.cookies[name])
            self._without(answer, name)
        self._set_cookie(answer, cookie, sent.visit)
        return answer

    def _visit_cookie(self, state: str) -> str:
        """A visit's cookie is called after its state: a tab finds its own, and ends no other's."""
        if not state:
            return self._visit
        return f"{self._visit}-{sha256(state.encode()).hexdigest()[:_NAMED]}"

    def _is_visit(self, name: str) -> bool:
        return re.fullmatch(f"{self._visit}(-[0-9a-f]{{{_NAMED}}})?", name) is not None

    def _without(self, answer: Response, cookie: str) -> Response:
        if cookie in request.cookies:
            secure = self._configuration.secure
            answer.delete_cookie(cookie, secure=secure, samesite="Lax", httponly=True)
        return answer

    def _set_cookie(self, answer: Response, name: str, value: str) -> None:
        answer.set_cookie(
            name,
            value,
            max_age=LIFETIME,
            secure=self._configuration.secure,
            httponly=True,
            samesite="Lax",  # Strict would not come back from a provider
        )


def problem(code: Code, status: int | None = None) -> Response:
    """A problem of RFC 9457 with a stable code and no words about the request."""
    status = status or _STATUS[code]
    body = {"type": "about:blank", "title": str(code).replace("-", " "), "status": status}
    return Response(
        json.dumps(body | {"code": str(code)}),
        status=status,
        content_type="application/problem+json",
    )


def _to(url: str) -> Response:
    return Response(status=303, headers={"Location": url})


def _to_problem(word: Word) -> Response:
    return _to(f"/pass?problem={word}")


def _later(answer: Response, seconds: int) -> Response:
    """With when to ask again (RFC 9110 section 10.2.3)."""
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _only_from_here() -> None:
    """Raises NotSigned if a browser says that another site's page has sent this."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise NotSigned(Code.CROSS_SITE)


def _install_errors(app: Flask, journal: Journal) -> None:
    def not_signed(refusal: NotSigned) -> Response:
        return problem(refusal.code)

    def limit_reached(refusal: LimitReached) -> Response:
        return _later(problem(refusal.code), refusal.seconds)

    def no_pass(refusal: NoPass) -> Response:
        return _to_problem(refusal.word)

    def no_signer(_: SignerUnavailable) -> Response:
        return _later(problem(Code.SIGNER_UNAVAILABLE), SOON)

    def anything(fault: Exception) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        journal.failure(Event.REQUEST_FAILED, fault, route=route)
        if request.endpoint in PAGES:
            return _to_problem(Word.UNAVAILABLE)
        return problem(Code.INTERNAL)

    app.register_error_handler(NotSigned, not_signed)
    app.register_error_handler(LimitReached, limit_reached)
    app.register_error_handler(NoPass, no_pass)
    app.register_error_handler(SignerUnavailable, no_signer)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, anything)


def _http_problem(fault: HTTPException) -> Response:
    status = fault.code or 500
    if status < 400:  # a redirect of the router's own
        return problem(Code.NOT_FOUND)
    answer = problem(_BY_STATUS.get(status, Code.MALFORMED))
    if status == 405:
        answer.headers["Allow"] = ", ".join(sorted(getattr(fault, "valid_methods", ()) or ()))
    return answer


def _policy(desk: Desk) -> str:
    """Chromium holds a form's redirects to form-action: providers send browsers on as they like."""
    away = {origin for provider in desk.providers.values() for origin in provider.goes_to}
    forms = ["'self'", *(["https:"] if away else []), *sorted(o for o in away if o[:5] != "https")]
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        f" img-src data:; form-action {' '.join(forms)}; base-uri 'none'; frame-ancestors 'none'"
    )


def _install_headers(app: Flask, policy: str) -> None:
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }

    def add(answer: Response) -> Response:
        for name, value in headers.items():
            answer.headers.setdefault(name, value)
        return answer

    app.after_request(add)
