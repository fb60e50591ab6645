-- Gives  'K', seats held, seats sold   'N' not primed   'A' ask again
-- include show
-- include holds

local numbers = call('HGET', RECORDS, META)
if not numbers then return { 'N' } end
load(numbers)
retire(256)
save()
if now >= due then return { 'A' } end
if layout == '' then return { 'N' } end
return { 'K', held, sold }
