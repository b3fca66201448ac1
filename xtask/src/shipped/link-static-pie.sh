#!/bin/sh
# Links what is static position-independently; all else as it was asked for.
is_static=
for word do
  [ "$word" = -static ] && is_static=1
done
for word do
  shift
  case $is_static$word in
    1-static) set -- "$@" -static-pie ;;
    1-no-pie) ;;
    *) set -- "$@" "$word" ;;
  esac
done
exec '@LINKER@' "$@"
