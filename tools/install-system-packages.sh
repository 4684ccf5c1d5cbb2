#!/bin/sh
# Installs the Debian packages that tests need, where this user may. Called by make test and by CI.
#   install-system-packages.sh venv [PYTHON]   what PYTHON -m venv needs
#   install-system-packages.sh test     what the tests need
#   install-system-packages.sh report   names the tests that were left out for want of a package
set -u
export DEBIAN_FRONTEND=noninteractive

# command -> package that brings it
needed='mosquitto:mosquitto mosquitto_sub:mosquitto-clients gcc:gcc g++:g++ cmake:cmake faketime:faketime
arm-none-eabi-gcc:gcc-arm-none-eabi qemu-system-arm:qemu-system-arm
riscv64-unknown-elf-gcc:gcc-riscv64-unknown-elf qemu-system-riscv32:qemu-system-misc'
# libraries without a command of their own: file -> package
libraries='/usr/lib/arm-none-eabi/newlib/libc.a:libnewlib-arm-none-eabi
/usr/lib/picolibc/riscv64-unknown-elf/lib/libc.a:picolibc-riscv64-unknown-elf'

missing() {
  for pair in $needed; do
    PATH="$PATH:/usr/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || printf '%s ' "${pair#*:}"
  done
  for pair in $libraries; do
    [ -e "${pair%%:*}" ] || printf '%s ' "${pair#*:}"
  done
}

install() {
  if [ "$(id -u)" -eq 0 ]; then run=''; elif sudo -n true 2>/dev/null; then run='sudo -n'; else return 1; fi
  command -v apt-get >/dev/null 2>&1 || return 1
  { $run apt-get update -qq && $run apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null
}

case "${1:-test}" in
  venv)
    # python3.12 has a package of its own, python3 the distribution's
    package="$(basename "${2:-python3}")-venv"
    install "$package" || { echo "${2:-python3} -m venv does not work here: install the package $package" >&2; exit 5; }
    ;;
  test)
    packages=$(missing)
    [ -z "$packages" ] && exit 0
    echo "installing system packages: $packages" >&2
    # shellcheck disable=SC2086
    install $packages && exit 0
    if [ "${CI:-}" = true ]; then
      echo "system packages are missing and cannot be installed: $packages" >&2
      exit 5
    fi
    echo "not installed (no root): $packages; their tests are left out" >&2
    ;;
  report)
    packages=$(missing)
    [ -z "$packages" ] || echo "tests left out for want of system packages: $packages" >&2
    ;;
esac
exit 0
