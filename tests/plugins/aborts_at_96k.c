/* A VST3 effect that does nothing, until it is to run above 90 kHz: then it aborts its process.

   The least of the VST 3 interfaces that a host needs, written down from their documentation: an
   object is a pointer to a table of functions, each of which gets the object first. One object of
   each kind is enough, as there is nothing to keep but the rate. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NO = 1, NOT_IMPLEMENTED = 3, NO_INTERFACE = -1 };
enum { AUDIO = 0, STEREO = 3, FLOAT32 = 0, ACTIVE = 1, MANY = 0x7FFFFFFF };
static const double HIGHEST_HZ = 90000.0;

typedef int32_t Result;
typedef uint8_t Id[16];
typedef void *(*Function)(void);

/* Interface numbers are four 32-bit words, highest byte first. */
#define WORD(w) (uint8_t)((w) >> 24), (uint8_t)((w) >> 16), (uint8_t)((w) >> 8), (uint8_t)(w)
#define ID(a, b, c, d) {WORD(a), WORD(b), WORD(c), WORD(d)}
static const Id UNKNOWN = ID(0x00000000u, 0x00000000u, 0xC0000000u, 0x00000046u);
static const Id BASE = ID(0x22888DDBu, 0x156E45AEu, 0x8358B348u, 0x08190625u);
static const Id FACTORY = ID(0x7A4D811Cu, 0x52114A1Fu, 0xAED9D2EEu, 0x0B43BF9Fu);
static const Id COMPONENT = ID(0xE831FF31u, 0xF2D54301u, 0x928EBBEEu, 0x25697802u);
static const Id PROCESSOR = ID(0x42043F99u, 0xB7DA453Cu, 0xA569E79Du, 0x9AAEC33Du);
static const Id CONTROLLER = ID(0xDCD7BBE3u, 0x7742448Du, 0xA874AACCu, 0x979C759Eu);
static const Id OURS = ID(0x5374656Du, 0x62726964u, 0x67652041u, 0x626F7274u);

typedef struct { const Function *table; } Object;
static Object component, processor, controller, factory;
static double rate_hz;

static Result query(void *self, const Id id, void **found) {
    (void)self;
    *found = NULL;
    if (!memcmp(id, COMPONENT, 16) || !memcmp(id, UNKNOWN, 16) || !memcmp(id, BASE, 16))
        *found = &component;
    else if (!memcmp(id, PROCESSOR, 16))
        *found = &processor;
    else if (!memcmp(id, CONTROLLER, 16))
        *found = &controller;
    return *found ? OK : NO_INTERFACE;
}

static uint32_t count_reference(void *self) { (void)self; return 1000; } /* never freed */
static Result fine(void *self) { (void)self; return OK; }
static Result nothing(void *self) { (void)self; return NOT_IMPLEMENTED; }
static int32_t none(void *self) { (void)self; return 0; }
static void *no_view(void *self, const char *name) { (void)self; (void)name; return NULL; }

/* The component */

typedef struct {
    int32_t media, direction, channels;
    uint16_t name[128];
    int32_t kind;
    uint32_t flags;
} Bus;

static Result no_controller_class(void *self, Id id) { (void)self; memset(id, 0, 16); return NO; }

static int32_t count_buses(void *self, int32_t media, int32_t direction) {
    (void)self; (void)direction;
    return media == AUDIO;
}

static Result bus_info(void *self, int32_t media, int32_t direction, int32_t index, Bus *bus) {
    (void)self;
    if (media != AUDIO || index) return NO;
    memset(bus, 0, sizeof *bus);
    bus->media = media;
    bus->direction = direction;
    bus->channels = 2;
    bus->name[0] = 'M';
    bus->flags = ACTIVE;
    return OK;
}

/* The processor */

typedef struct { int32_t mode, size, most_frames; double rate_hz; } Setup;
typedef struct { int32_t channels; uint64_t silent; float **audio; } Buffers;
typedef struct {
    int32_t mode, size, frames, inputs, outputs;
    Buffers *in, *out;
} Data;

static Result arrange(void *self, uint64_t *in, int32_t ins, uint64_t *out, int32_t outs) {
    (void)self;
    return ins == 1 && outs == 1 && *in == STEREO && *out == STEREO ? OK : NO;
}

static Result arrangement(void *self, int32_t direction, int32_t index, uint64_t *found) {
    (void)self; (void)direction;
    *found = STEREO;
    return index ? NO : OK;
}

static Result takes_size(void *self, int32_t size) { (void)self; return size == FLOAT32 ? OK : NO; }
static Result set_up(void *self, Setup *setup) { (void)self; rate_hz = setup->rate_hz; return OK; }

static Result process(void *self, Data *data) {
    (void)self;
    if (rate_hz > HIGHEST_HZ) abort();
    if (!data->inputs || !data->outputs) return OK;
    for (int32_t c = 0; c < data->in->channels && c < data->out->channels; c++)
        memmove(data->out->audio[c], data->in->audio[c], sizeof(float) * (size_t)data->frames);
    return OK;
}

/* The controller, of no parameters */

static double same(void *self, uint32_t id, double value) { (void)self; (void)id; return value; }
static double zero(void *self, uint32_t id) { (void)self; (void)id; return 0.0; }

/* The factory */

typedef struct { char vendor[64], url[256], email[128]; int32_t flags; } FactoryInfo;
typedef struct { Id id; int32_t cardinality; char category[32], name[64]; } ClassInfo;

static Result query_factory(void *self, const Id id, void **found) {
    int known = !memcmp(id, FACTORY, 16) || !memcmp(id, UNKNOWN, 16);
    *found = known ? self : NULL;
    return known ? OK : NO_INTERFACE;
}

static Result factory_info(void *self, FactoryInfo *info) {
    (void)self;
    memset(info, 0, sizeof *info);
    strcpy(info->vendor, "Stembridge's tests");
    return OK;
}

static int32_t one(void *self) { (void)self; return 1; }

static Result class_info(void *self, int32_t index, ClassInfo *info) {
    (void)self;
    if (index) return NO;
    memset(info, 0, sizeof *info);
    memcpy(info->id, OURS, 16);
    info->cardinality = MANY;
    strcpy(info->category, "Audio Module Class");
    strcpy(info->name, "Aborts at 96 kHz");
    return OK;
}

static Result create(void *self, const Id class, const Id interface, void **made) {
    *made = NULL;
    return memcmp(class, OURS, 16) ? NO : query(self, interface, made);
}

#define F (Function)
#define COUNTED F count_reference, F count_reference
static const Function COMPONENT_TABLE[] = {
    F query, COUNTED, F fine /* initialize */, F fine /* terminate */, F no_controller_class,
    F nothing /* setIoMode */, F count_buses, F bus_info, F nothing /* getRoutingInfo */,
    F fine /* activateBus */, F fine /* setActive */, F nothing /* setState */,
    F nothing /* getState */,
};
static const Function PROCESSOR_TABLE[] = {
    F query, COUNTED, F arrange, F arrangement, F takes_size, F none /* getLatencySamples */,
    F set_up, F fine /* setProcessing */, F process, F none /* getTailSamples */,
};
static const Function CONTROLLER_TABLE[] = {
    F query, COUNTED, F fine /* initialize */, F fine /* terminate */,
    F nothing /* setComponentState */, F nothing /* setState */, F nothing /* getState */,
    F none /* getParameterCount */, F nothing /* getParameterInfo */,
    F nothing /* getParamStringByValue */, F nothing /* getParamValueByString */,
    F same /* normalizedParamToPlain */, F same /* plainParamToNormalized */,
    F zero /* getParamNormalized */, F nothing /* setParamNormalized */,
    F fine /* setComponentHandler */, F no_view /* createView */,
};
static const Function FACTORY_TABLE[] = {
    F query_factory, COUNTED, F factory_info, F one /* countClasses */, F class_info, F create,
};
static Object component = {COMPONENT_TABLE};
static Object processor = {PROCESSOR_TABLE};
static Object controller = {CONTROLLER_TABLE};
static Object factory = {FACTORY_TABLE};

int ModuleEntry(void *handle) { (void)handle; return 1; }
int ModuleExit(void) { return 1; }
void *GetPluginFactory(void) { return &factory; }
