#!/bin/sh
echo version @VERSION@
