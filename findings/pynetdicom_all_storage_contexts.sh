#!/usr/bin/env bash
# pynetdicom's AllStoragePresentationContexts lacks storage classes that StoragePresentationContexts has.
#
# Versions: pynetdicom 3.0.4, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: the list of 170 has no retired classes, the list of 120 has 14 of them, such as the ultrasound and nuclear medicine images of 1993. A
#   receiver with "all" refuses their contexts: "abstract syntax not supported".
# A good guess: "containing all SOP Classes" (the reference's words) is more than "containing 120 selected SOP Classes".
# Why it matters: an archive is full of old objects; who changes the shorter list for the longer one, so as to receive more, receives
#   fewer. Support the union.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pynetdicom==3.0.4 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
from pynetdicom import AE, AllStoragePresentationContexts, StoragePresentationContexts

US = "1.2.840.10008.5.1.4.1.1.6"  # Ultrasound Image Storage (retired)
some, everything = ({one.abstract_syntax for one in contexts} for contexts in (StoragePresentationContexts, AllStoragePresentationContexts))
print(len(some), "and", len(everything), "classes; only in the shorter list:", len(some - everything))
for name, contexts in (("Storage", StoragePresentationContexts), ("AllStorage", AllStoragePresentationContexts)):
    receiver = AE()
    receiver.supported_contexts = contexts
    server = receiver.start_server(("127.0.0.1", 0), block=False)
    sender = AE()
    sender.add_requested_context(US)
    sender.add_requested_context("1.2.840.10008.5.1.4.1.1.7")  # Secondary Capture, so that there is an association
    association = sender.associate(*server.server_address)
    print(name, "accepts", sorted(one.abstract_syntax for one in association.accepted_contexts))
    association.release()
    server.shutdown()
EOS
diff said.txt - <<'EOS'
120 and 170 classes; only in the shorter list: 14
Storage accepts ['1.2.840.10008.5.1.4.1.1.6', '1.2.840.10008.5.1.4.1.1.7']
AllStorage accepts ['1.2.840.10008.5.1.4.1.1.7']
EOS
