"""What keeps private data out of the log, or out of reach in it: redaction and encryption, before a fact leaves its process.

    values of a fact ──▶ redaction (`Redaction`) ──▶ encryption (`Encryption`) ──▶ the log
                         never recorded              recorded, readable with the subject's key until that is destroyed

`Guard` applies both, and fails closed: what cannot be treated is withheld.
"""

from eventresults.privacy.encryption import Encryption
from eventresults.privacy.keyring import Keyring
from eventresults.privacy.redaction import Redaction, Rules, Value
from eventresults.privacy.sealing import KeyWrapper, MasterKey

__all__ = ["Encryption", "KeyWrapper", "Keyring", "MasterKey", "Redaction", "Rules", "Value"]
