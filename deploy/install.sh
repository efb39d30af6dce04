#!/usr/bin/env bash
# Installs ilot on a Debian-like machine, from a stick or from any folder, without a network.
#
#     ./install.sh                 install, or upgrade what is installed
#     ./install.sh --dry-run       say what would be done, touch nothing
#     ./install.sh --uninstall     take the program away; the data stays
#     ./install.sh --uninstall --purge   the data too, after the word `ilot` was typed (or --yes)
#
#     --from DIR      the bundle (default: the folder this script lies in)
#     --binary FILE   another program than the bundle's
#     --root DIR      install below DIR: no user, no service manager (images, tests)
#     --no-start      install, but do not start the service
#     --lang fr|en    the language of what is said (default: from LANG)
#
# Exit codes: 0 done; 1 refused or failed, nothing half-installed; 2 wrong option.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
from="$here" binary="" root="" action=install dry=no start=yes purge=no yes=no
case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in fr*) lang=fr ;; *) lang=en ;; esac

say() { if [ "$lang" = fr ]; then printf '%s\n' "$1"; else printf '%s\n' "$2"; fi; }
refuse() { say "refus : $1" "refused: $2" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case "$1" in
        --from) from="$(cd "$2" && pwd)"; shift ;;
        --binary) binary="$2"; shift ;;
        --root) mkdir -p "$2"; root="$(cd "$2" && pwd)"; shift ;;
        --lang) lang="$2"; shift ;;
        --dry-run) dry=yes ;;
        --uninstall) action=uninstall ;;
        --purge) purge=yes ;;
        --yes) yes=yes ;;
        --no-start) start=no ;;
        -h | --help) sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) say "option inconnue : $1" "unknown option: $1" >&2; exit 2 ;;
    esac
    shift
done

program="$root/usr/local/bin/ilot"
share="$root/usr/local/share/ilot"
unit="$root/etc/systemd/system/ilot.service"
data="$root/var/lib/ilot"
[ -n "$binary" ] || binary="$from/ilot"

# Everything that changes the machine goes through here, so that a dry run cannot differ from a run.
run() {
    if [ "$dry" = yes ]; then printf '  + %s\n' "$*"; else "$@"; fi
}
# Whether this is the machine's own root with a service manager, not an image or a test.
live() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

need_root() {
    [ "$dry" = yes ] || [ -n "$root" ] || [ "$(id -u)" -eq 0 ] ||
        refuse "il faut être root (sudo $0)" "this needs root (sudo $0)"
}

# A file in place of another at once: written beside it, flushed, renamed.
place() {
    local source="$1" target="$2" mode="$3"
    run install -D -m "$mode" "$source" "$target.new"
    run sync "$target.new"
    run mv -f "$target.new" "$target"
}

check_bundle() {
    [ -f "$binary" ] || refuse "pas de programme ici : $binary" "no program here: $binary"
    [ -f "$from/ilot.service" ] || refuse "pas de ilot.service dans $from" "no ilot.service in $from"
    if [ -f "$from/SHA256SUMS" ]; then
        say "vérification de la clé…" "checking the bundle…"
        (cd "$from" && sha256sum --check --strict --quiet SHA256SUMS) ||
            refuse "un fichier est abîmé ou a été modifié" "a file is damaged or was changed"
    fi
    # Byte 18 of an ELF file names its machine: 62 is x86-64, 183 is AArch64.
    local found wanted
    found="$(od -An -tu1 -j18 -N1 "$binary" 2>/dev/null | tr -d ' ' || true)"
    case "$(uname -m)" in x86_64) wanted=62 ;; aarch64) wanted=183 ;; *) wanted="$found" ;; esac
    [ "$found" = "$wanted" ] ||
        refuse "ce programme n'est pas fait pour une machine $(uname -m)" "this program is not for a $(uname -m) machine"
}

check_space() {
    local needed there place="$share"
    needed=$(($(du -sk "$from" | cut -f1) + $(du -sk "$binary" | cut -f1) + 51200))
    while [ ! -d "$place" ]; do place="$(dirname "$place")"; done
    there="$(df -Pk "$place" | awk 'NR == 2 { print $4 }')"
    [ "$there" -ge "$needed" ] ||
        refuse "il faut $((needed / 1024)) Mo sur $place, il en reste $((there / 1024))" \
            "$place needs $((needed / 1024)) MB, $((there / 1024)) are left"
}

make_user() {
    [ -z "$root" ] || return 0
    getent passwd ilot >/dev/null || run useradd --system --user-group --no-create-home \
        --home-dir /var/lib/ilot --shell /usr/sbin/nologin ilot
    run install -d -m 0700 -o ilot -g ilot "$data"
}

# Files that a FAT stick cannot hold whole travel as NAME.part-000, NAME.part-001, …
copy_tree() {
    local name="$1" file target
    [ -d "$from/$name" ] || return 0
    while IFS= read -r -d '' file; do
        target="$share/$name/${file#"$from/$name/"}"
        case "$file" in
            *.part-000) join "${file%.part-000}" "${target%.part-000}" ;;
            *.part-[0-9][0-9][0-9]) ;;
            *) cmp -s "$file" "$target" || place "$file" "$target" 0644 ;;
        esac
    done < <(find "$from/$name" -type f -print0 | sort -z)
}

join() {
    local source="$1" target="$2" wanted
    wanted="$(awk -v name="${source#"$from/"}" 'substr($0, 67) == name { print $1 }' "$from/SHA256SUMS.whole")"
    if [ -f "$target" ] && [ "$(sha256sum <"$target" | cut -d' ' -f1)" = "$wanted" ]; then return; fi
    if [ "$dry" = yes ]; then printf '  + join %s.part-* > %s\n' "$source" "$target"; return; fi
    mkdir -p "$(dirname "$target")"
    cat "$source".part-[0-9][0-9][0-9] >"$target.new"
    [ "$(sha256sum <"$target.new" | cut -d' ' -f1)" = "$wanted" ] || {
        rm -f "$target.new"
        refuse "les parties de ${source##*/} ne vont pas ensemble" "the parts of ${source##*/} do not fit together"
    }
    chmod 0644 "$target.new"
    mv -f "$target.new" "$target"
}

start_service() {
    live || return 0
    run systemctl daemon-reload
    run systemctl enable --quiet ilot.service
    [ "$start" = yes ] || return 0
    run systemctl restart ilot.service
}

# The firewall belongs to the site: what to open is said, nothing is opened.
hint_firewall() {
    [ -z "$root" ] || return 0
    if command -v ufw >/dev/null && ufw status 2>/dev/null | grep -q 'Status: active'; then
        say "pare-feu : ufw allow 8443/tcp" "firewall: ufw allow 8443/tcp"
    elif command -v firewall-cmd >/dev/null; then
        say "pare-feu : firewall-cmd --permanent --add-port=8443/tcp && firewall-cmd --reload" \
            "firewall: firewall-cmd --permanent --add-port=8443/tcp && firewall-cmd --reload"
    else
        say "pare-feu : le port 8443/tcp doit être joignable depuis le réseau local" \
            "firewall: port 8443/tcp must be reachable from the local network"
    fi
}

install_box() {
    need_root
    check_bundle
    check_space
    make_user
    # The program that runs today is kept beside the new one: going back is one `mv`.
    if [ -f "$program" ] && ! cmp -s "$binary" "$program"; then
        run install -m 0755 "$program" "$program.previous"
    fi
    cmp -s "$binary" "$program" || place "$binary" "$program" 0755
    copy_tree models
    copy_tree demo
    cmp -s "$from/ilot.service" "$unit" || place "$from/ilot.service" "$unit" 0644
    start_service
    say "installé : $program" "installed: $program"
    say "premier accès : sudo -u ilot ilot setup-link --data $data" \
        "first access: sudo -u ilot ilot setup-link --data $data"
    hint_firewall
}

confirm_purge() {
    [ "$yes" = yes ] || [ "$dry" = yes ] || {
        local word=""
        say "Les données de $data seront détruites. Tapez ilot pour confirmer :" \
            "The data in $data will be destroyed. Type ilot to confirm:"
        read -r word || true
        [ "$word" = ilot ] || refuse "rien n'a été détruit" "nothing was destroyed"
    }
}

uninstall_box() {
    need_root
    [ "$purge" = no ] || confirm_purge
    if live && [ -f "$unit" ]; then run systemctl disable --quiet --now ilot.service; fi
    run rm -f "$unit" "$program" "$program.previous"
    run rm -rf "$share"
    if live; then run systemctl daemon-reload; fi
    if [ "$purge" = yes ]; then
        run rm -rf "$data"
        if [ -z "$root" ] && getent passwd ilot >/dev/null; then run userdel ilot; fi
        say "désinstallé, données détruites" "uninstalled, data destroyed"
    else
        say "désinstallé ; les données restent dans $data" "uninstalled; the data stays in $data"
    fi
}

case "$action" in
    install) install_box ;;
    uninstall) uninstall_box ;;
esac
