# Sandsweep. `make demo` and `make check` do everything; the rest is for working on it.
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
Q := $(if $(V),,@)

PREFIX ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0
CC = gcc

# ---- sources: what is built is written down here ----
BASE := err clock log loop buf num uuid rand backoff hash trace killpoint json metrics \
        http http_take http_answer http_listen http_guard config supervise status cmd
SQL := pg_params pg_common pg_conn pg_pool pg_sync copy row call ledger migrate store_api store_publish store_keys \
       store_worker store_outbox store_targets store_reconcile store_listing store_history store_explain cmd_migrate
QUEUE := event client kafka topics producer idset relay partitions joining dead_letter consumer \
         probe cmd_topics
PLATFORM := answer endpoint request meter inventory watch client
WORKER := limiter breaker verdict fair target record executor intake outbox worker cmd_worker \
          cmd_targets
RECONCILE := classes settings completeness screen guard pacer asker finding lister prover gauges run \
             plan report progress cmd_reconcile watch history cmd_explain explain
API := route auth ratelimit reply exchange write naming service_object publish_request cursor \
       function_json function_update handlers functions revisions runtimes publish health api cmd_api \
       cmd_keys

lib = $(foreach s,$(BASE),base/$(s)) $(foreach s,$(SQL),sql/$(s)) $(foreach s,$(QUEUE),queue/$(s)) \
      $(foreach s,$(PLATFORM),platform/$(s)) $(foreach s,$(WORKER),worker/$(s)) \
      $(foreach s,$(RECONCILE),reconcile/$(s)) $(foreach s,$(API),api/$(s))
SIM := $(basename $(wildcard tests/sim/*.c))
UNIT := $(basename $(notdir $(wildcard tests/unit/test_*.c)))
FUZZ := $(basename $(notdir $(wildcard tests/fuzz/fuzz_*.c)))

# ---- flags ----
PACKAGES := libpq rdkafka libcurl jansson libmicrohttpd inih libcrypto libsystemd
WARN := -Wall -Wextra -Werror -Wconversion -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes \
        -Wmissing-prototypes -Wimplicit-fallthrough
HARDEN := -O2 -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
          -fcf-protection=full -ftrivial-auto-var-init=zero -fno-delete-null-pointer-checks \
          -fno-strict-overflow -fno-strict-aliasing -fPIE
HARDEN_LD := -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,nodlopen -Wl,--as-needed
SANITIZE := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
COMMON = -std=gnu17 -g $(WARN) -D_GNU_SOURCE -DSANDSWEEP_VERSION='"$(VERSION)"' -I. -Ibuild/gen \
         $(shell pkg-config --cflags $(PACKAGES))
LIBS = $(shell pkg-config --libs $(PACKAGES))

# Three builds of the same sources, each in a directory of its own:
#   release  what is installed
#   test     the same with the kill points that the tests need
#   asan     test under AddressSanitizer and UndefinedBehaviorSanitizer
CFLAGS_release = $(COMMON) $(HARDEN)
LDFLAGS_release = $(HARDEN_LD)
CFLAGS_test = $(COMMON) $(HARDEN) -DSANDSWEEP_KILLPOINTS
LDFLAGS_test = $(HARDEN_LD)
CFLAGS_asan = $(COMMON) $(SANITIZE) -DSANDSWEEP_KILLPOINTS
LDFLAGS_asan = $(SANITIZE)
BUILDS := release test asan
DIR_release := build
DIR_test := build/test
DIR_asan := build/asan

.PHONY: all demo check lint asan fuzz worlds bench install clean format
.DEFAULT_GOAL := all

setup-%:
	$(Q)scripts/setup $*

# ---- SQL files and the description of the API become C strings ----
GEN := build/gen/sql_queries.h build/gen/sql_queries.c build/gen/sql_migrations.c
GEN_OBJ := sql_queries sql_migrations openapi
QUERY_FILES := $(sort $(wildcard sql/queries/*.sql))
MIGRATION_FILES := $(sort $(wildcard sql/migrations/*.sql))
$(GEN) &: scripts/embed-sql $(QUERY_FILES) $(MIGRATION_FILES)
	@echo "  SQL   build/gen"
	$(Q)mkdir -p build/gen
	$(Q)scripts/embed-sql build/gen
build/gen/openapi.c: scripts/embed-text docs/openapi.yaml
	$(Q)mkdir -p build/gen
	$(Q)scripts/embed-text docs/openapi.yaml api/openapi.h openapi_yaml >$@

define BUILD
OBJ_$(1) := $$(lib:%=$$(DIR_$(1))/obj/%.o) $$(GEN_OBJ:%=$$(DIR_$(1))/obj/gen/%.o)
$$(DIR_$(1))/obj/gen/%.o: build/gen/%.c
	@mkdir -p $$(@D)
	@echo "  CC    $$@"
	$(Q)$(CC) $$(CFLAGS_$(1)) -MMD -MP -c -o $$@ $$<
$$(DIR_$(1))/obj/%.o: %.c | $(GEN)
	@mkdir -p $$(@D)
	@echo "  CC    $$@"
	$(Q)$(CC) $$(CFLAGS_$(1)) -MMD -MP -c -o $$@ $$<
$$(DIR_$(1))/libsandsweep.a: $$(OBJ_$(1))
	@echo "  AR    $$@"
	$(Q)rm -f $$@ && ar rcs $$@ $$^
$$(DIR_$(1))/sandsweep: $$(DIR_$(1))/obj/sandsweep.o $$(DIR_$(1))/libsandsweep.a
	@echo "  LD    $$@"
	$(Q)$(CC) $$(LDFLAGS_$(1)) -o $$@ $$^ $$(LIBS)
$$(DIR_$(1))/sandsweep-sim: $$(SIM:%=$$(DIR_$(1))/obj/%.o) $$(DIR_$(1))/libsandsweep.a
	@echo "  LD    $$@"
	$(Q)$(CC) $$(LDFLAGS_$(1)) -o $$@ $$^ $$(LIBS)
$$(DIR_$(1))/mockbroker: $$(DIR_$(1))/obj/tests/broker/mockbroker.o $$(DIR_$(1))/libsandsweep.a
	@echo "  LD    $$@"
	$(Q)$(CC) $$(LDFLAGS_$(1)) -o $$@ $$^ $$(LIBS)
$$(DIR_$(1))/unit/%: $$(DIR_$(1))/obj/tests/unit/%.o \
                     $$(filter-out %/main.o,$$(SIM:%=$$(DIR_$(1))/obj/%.o)) $$(DIR_$(1))/libsandsweep.a
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	$(Q)$(CC) $$(LDFLAGS_$(1)) -o $$@ $$^ $$(LIBS) -lcmocka
ALL_$(1) := $$(DIR_$(1))/sandsweep $$(DIR_$(1))/sandsweep-sim $$(DIR_$(1))/mockbroker \
            $$(UNIT:%=$$(DIR_$(1))/unit/%)
-include $$(wildcard $$(DIR_$(1))/obj/*.d $$(DIR_$(1))/obj/*/*.d $$(DIR_$(1))/obj/*/*/*.d)
endef
$(foreach b,$(BUILDS),$(eval $(call BUILD,$(b))))
.SECONDARY:

# ---- fuzzing: clang, libFuzzer, everything instrumented ----
CC_fuzz = clang-14
CFLAGS_fuzz = -std=gnu17 -g -O1 -w -D_GNU_SOURCE -DSANDSWEEP_VERSION='"$(VERSION)"' -I. -Ibuild/gen \
              $(shell pkg-config --cflags $(PACKAGES)) -fsanitize=fuzzer-no-link,address,undefined \
              -fno-sanitize-recover=undefined
OBJ_fuzz := $(lib:%=build/fuzz/obj/%.o) $(GEN_OBJ:%=build/fuzz/obj/gen/%.o)
build/fuzz/obj/gen/%.o: build/gen/%.c
	@mkdir -p $(@D)
	$(Q)$(CC_fuzz) $(CFLAGS_fuzz) -MMD -MP -c -o $@ $<
build/fuzz/obj/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)$(CC_fuzz) $(CFLAGS_fuzz) -MMD -MP -c -o $@ $<
build/fuzz/libsandsweep.a: $(OBJ_fuzz)
	$(Q)rm -f $@ && ar rcs $@ $^
build/fuzz/fuzz_%: build/fuzz/obj/tests/fuzz/fuzz_%.o build/fuzz/libsandsweep.a
	@echo "  LD    $@"
	$(Q)$(CC_fuzz) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)
ALL_fuzz := $(FUZZ:%=build/fuzz/%)
-include $(wildcard build/fuzz/obj/*/*.d)

# ---- what a benchmark is compared with ----
build/bench-%: build/obj/bench/%.o build/libsandsweep.a
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS_release) -o $@ $^ $(LIBS)

# ---- what people call ----
all: build/sandsweep build/sandsweep-sim build/mockbroker
demo: setup-build setup-demo
	$(Q)$(MAKE) --no-print-directory -j2 all
	$(Q)scripts/demo
# Setting up comes first and alone: what is missing at the start of make is found by its second run.
check: setup-build setup-test setup-kafka setup-sdk setup-contract setup-lint setup-fuzz
	$(Q)$(MAKE) --no-print-directory -j2 check-builds
	$(Q)tests/run test asan fuzz
asan: setup-build setup-test setup-kafka setup-sdk setup-contract
	$(Q)$(MAKE) --no-print-directory -j2 $(ALL_asan)
	$(Q)tests/run asan
# Random worlds, reconciled: make worlds N=5000, or one of them again: make worlds N=1 SEED=1234
N ?= 500
worlds: setup-build setup-test
	$(Q)$(MAKE) --no-print-directory -j2 build/test/sandsweep build/test/sandsweep-sim build/test/mockbroker
	$(Q)WORLDS=$(N) WORLDS_SEED=$(SEED) SANDSWEEP_BUILD=$(CURDIR)/build/test \
	    /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/model/test_worlds.py
fuzz: setup-build setup-fuzz
	$(Q)$(MAKE) --no-print-directory -j2 $(ALL_fuzz)
	$(Q)tests/run fuzz
lint: setup-build setup-lint $(GEN)
	$(Q)scripts/lint
bench: setup-build setup-test setup-kafka setup-bench
	$(Q)$(MAKE) --no-print-directory -j2 all build/bench-fetch build/bench-delete build/bench-pace
	$(Q)bench/all
install: build/sandsweep
	install -D -m 755 build/sandsweep $(DESTDIR)$(PREFIX)/bin/sandsweep
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 \
	    $(DESTDIR)$(PREFIX)/share/doc/sandsweep $(DESTDIR)$(PREFIX)/lib/systemd/system \
	    $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	install -m 644 docs/man/sandsweep.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	build/sandsweep config mdoc | sed -e '/^.." SETTINGS$$/{r /dev/stdin' -e 'd}' docs/man/sandsweep.conf.5.in \
	    >$(DESTDIR)$(PREFIX)/share/man/man5/sandsweep.conf.5
	build/sandsweep config example >$(DESTDIR)$(PREFIX)/share/doc/sandsweep/sandsweep.conf.example
	install -m 644 docs/*.md docs/*.json docs/*.yaml LICENSE $(DESTDIR)$(PREFIX)/share/doc/sandsweep/
	for unit in systemd/*.service; do \
	    sed 's|^ExecStart=/usr/local/|ExecStart=$(PREFIX)/|' $$unit \
	        >$(DESTDIR)$(PREFIX)/lib/systemd/system/$$(basename $$unit) || exit 1; done
	install -m 644 systemd/*.timer $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -m 644 systemd/sandsweep.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/sandsweep.conf
	install -m 644 systemd/sandsweep.tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/sandsweep.conf
.PHONY: check-builds
check-builds: build/sandsweep $(ALL_test) $(ALL_asan) $(ALL_fuzz)
format: setup-lint
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format-14 -i

clean:
	rm -rf build
