#!/bin/sh
# Sends each notice by e-mail: --notify=exec:/usr/local/bin/mail.sh
set -eu
to=admin@example.org
PATH=$PATH:/usr/sbin

subject=$(printf 'onec-exchange: %s' "$ONEC_WORDS" | tr '\n' ' ' | base64 | tr -d '\n')
sendmail -t << MAIL
To: $to
Subject: =?UTF-8?B?$subject?=
Content-Type: text/plain; charset=utf-8

$ONEC_WORDS
MAIL
