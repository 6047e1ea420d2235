-- Sends radiographs of hands to the DICOM node of bone-age-tf as they arrive, and nothing else: so no result comes back to it.
-- What the node did not take, as during an update, is sent again after the next radiograph that it takes.

NODE = "bone-age"  -- its name in DicomModalities
AE_TITLE = "BONEAGE"  -- and its AE title there

SOP_CLASSES = {
  ["1.2.840.10008.5.1.4.1.1.1"] = true,  -- Computed Radiography
  ["1.2.840.10008.5.1.4.1.1.1.1"] = true,  -- Digital X-Ray, For Presentation
}  -- not Secondary Capture: so is the node's own picture
WORDS = { "HAND", "WRIST", "BONE ?AGE" }  -- patterns of Lua, in capitals; add those of your language
PLACES = { "BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription" }

waiting = {}  -- instances that the node did not take; forgotten when Orthanc stops


function IsHand(tags)
  for _, place in ipairs(PLACES) do
    for _, word in ipairs(WORDS) do
      if string.find(string.upper(tags[place] or ""), word) then
        return true
      end
    end
  end
  return false
end


function Send(instance)
  local job = { Resources = { instance }, Synchronous = false }
  RestApiPost("/modalities/" .. NODE .. "/store", DumpJson(job))
end


-- The instance that a job has sent to the node, or could not; nil: it is another job
function InstanceOf(id)
  local job = ParseJson(RestApiGet("/jobs/" .. id))
  if job["Type"] == "DicomModalityStore" and job["Content"]["RemoteAet"] == AE_TITLE then
    return job["Content"]["ParentResources"][1]
  end
end


function OnStoredInstance(instance, tags, metadata, origin)
  if SOP_CLASSES[tags["SOPClassUID"]] and IsHand(tags) then
    Send(instance)
  end
end


function OnJobFailure(id)
  waiting[#waiting + 1] = InstanceOf(id)
end


function OnJobSuccess(id)
  if InstanceOf(id) then
    local again = waiting
    waiting = {}
    for _, instance in ipairs(again) do
      Send(instance)
    end
  end
end
