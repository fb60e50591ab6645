-- Gives  'K', frees, version, layout, seats of the plan, marks   'N', frees, version: not primed   'A' ask again
-- include show
-- include holds

load(call('HGET', RECORDS, META))
retire(256)
save()
if now >= due then return { 'A' } end
local fence, at = format('%d', frees), format('%d', version)
if layout == '' then return { 'N', fence, at } end
return { 'K', fence, at, layout, size, call('GET', SEATS) or '' }
