#!/bin/sh
# An importer: twistd -n onec-exchange --auth=htpasswd:FILE --importer=exec:import.sh
# Copies each document, and the pictures that came with it, into the folder $IMPORT_SHOP for your shop to read.
set -eu
folder=$1 name=$2
shop=${IMPORT_SHOP:?name a folder}

if [ -z "$name" ]; then
    exit 0                                # an event without a document
fi
echo "Copying $name"                      # the 1C user sees the last line while this runs
mkdir -p "$shop"
if [ -d "$folder/import_files" ]; then
    cp -R "$folder/import_files" "$shop/"
fi
cp "$folder/$name" "$shop/.$name"         # a reader sees the whole document, or none
mv "$shop/.$name" "$shop/$name"
