"""What can go wrong between us and a platform.

PartnerError
├── UnknownPartner          no such partner, endpoint, item or message for the one who asks
├── PartnerRefused          the partner may not do this now
│   ├── PartnerSuspended    an operator suspended it
│   └── WrongPartnerKey     its API key is not one of ours
├── FeedbackRefused         this word may not follow the last one (see partners.feedback)
├── TransitionRefused       a message cannot move from its state to that one
├── EndpointRefused         the URL is not one we may post to
│   └── UnsafeAddress       it resolves to an address that is not public
├── SignatureRefused        a webhook signature, key or timestamp does not hold
├── KeySetRefused           the JWK Set that a partner registers is not one we can seal to
├── SealRefused             a sealed payload does not open, or is not for the one who opens it
├── EnrolmentRefused        an endpoint did not allow us, or did not echo its challenge
├── RegistrationRefused     a partner's name, endpoints or filters make no sense
└── UnsuitableLibrary       a library on this machine is known to fail us

`code` is stable and public; a message never holds a key, a hash or an address.
"""

from __future__ import annotations


class PartnerError(Exception):
    """Any refusal of this package; `code` names it for machines."""

    code = "partner-error"


class UnknownPartner(PartnerError):
    """Nothing of that id belongs to the one who asks."""

    code = "partner-unknown"


class PartnerRefused(PartnerError):
    """The partner is known and may not do this."""

    code = "partner-refused"


class PartnerSuspended(PartnerRefused):
    """An operator suspended this partner."""

    code = "partner-suspended"


class WrongPartnerKey(PartnerRefused):
    """The API key is missing, malformed, unknown or retired."""

    code = "partner-key-wrong"


class FeedbackRefused(PartnerError):
    """That word may not follow what this partner said last."""

    code = "feedback-out-of-order"


class TransitionRefused(PartnerError):
    """That state may not follow the message's present one."""

    code = "message-transition"


class EndpointRefused(PartnerError):
    """Not a URL that we may post to."""

    code = "endpoint-refused"


class UnsafeAddress(EndpointRefused):
    """The host is, or resolves to, an address that is not public."""

    code = "endpoint-address-unsafe"


class SignatureRefused(PartnerError):
    """A webhook signature, its key, its id or its timestamp does not hold."""

    code = "signature-refused"


class KeySetRefused(PartnerError):
    """Not a set of public keys that we can seal to."""

    code = "partner-keys-refused"


class SealRefused(PartnerError):
    """A sealed payload does not open, was not signed by us, or is meant for somebody else."""

    code = "seal-refused"


class EnrolmentRefused(PartnerError):
    """The endpoint did not allow us to post, or did not prove that it reads what we send.

    `error` is why no answer came, as in a Reply; None if there was one, or nothing was asked.
    """

    code = "enrolment-refused"

    def __init__(self, said: str = "", error: str | None = None) -> None:
        super().__init__(said)
        self.error = error


class RegistrationRefused(PartnerError):
    """The partner cannot be taken on as described."""

    code = "registration-refused"


class UnsuitableLibrary(PartnerError):
    """A library on this machine is known to fail us: the service does not start with it."""

    code = "library-unsuitable"
