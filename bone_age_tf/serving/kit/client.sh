#!/bin/sh
# Bone age of one radiograph, PNG or JPEG: ./client.sh hand.png F [http://localhost:8501]
# Prints the server's response as JSON. Requires curl and base64. Exit code 1 if there is no bone age (`status` is not "ok"),
# 2 for a usage error. {{ research_only }}
set -eu

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: $0 FILE F|M|unknown [URL]" >&2
    exit 2
fi
case $2 in
    F | M | unknown) ;;
    *)
        echo "$0: the sex must be F, M or unknown. Received: $2" >&2
        exit 2
        ;;
esac
if [ ! -r "$1" ] || [ ! -f "$1" ]; then
    echo "$0: $1 is no file that can be read" >&2
    exit 2
fi
if [ "$(dd if="$1" bs=1 skip=128 count=4 2>/dev/null | tr -d '\0')" = DICM ]; then
    echo "$0: $1 is DICOM, which TensorFlow Serving does not read: use client.py" >&2
    exit 2
fi

# Through a pipe, as a radiograph exceeds the maximum length of an argument.
answer=$({
    printf '{"signature_name": "serving_default", "instances": [{"sex": "%s", "image_bytes": {"b64": "' "$2"
    base64 <"$1" | tr -d '\n'
    printf '"}}]}'
} | curl -sS --max-time 60 -H 'Content-Type: application/json' --data-binary @- \
    "${3:-http://localhost:8501}/v1/models/{{ model }}:predict") || exit 1
printf '%s\n' "$answer"
case $(printf '%s' "$answer" | tr -d ' \n') in
    *'"status":"ok"'*) ;;
    *) exit 1 ;;
esac
